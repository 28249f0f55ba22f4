"""Where rows come from: `open_rows(anything)` gives Rows, read slab by slab."""

from leastwise.rows.block import Block, Rows, Slab
from leastwise.rows.open import open_rows

__all__ = ["Block", "Rows", "Slab", "open_rows"]

"""`python -m leastwise` is `leastwise`."""

from leastwise.cli import main

main(prog_name="leastwise")

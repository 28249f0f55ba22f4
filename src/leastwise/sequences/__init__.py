"""Protein sequences: cleaned, encoded, described by numbers, and grouped by kinship."""

from leastwise.sequences.clean import clean
from leastwise.sequences.encode import encode, one_hot
from leastwise.sequences.features import features
from leastwise.sequences.identity import relatives

__all__ = ["clean", "encode", "features", "one_hot", "relatives"]

"""Protein sequences: cleaned, encoded, described by numbers, made of variants, and grouped by kinship."""

from leastwise.sequences.alignment import Related
from leastwise.sequences.clean import clean
from leastwise.sequences.embed import Embedded, EmbeddedResidues, embed, embed_residues
from leastwise.sequences.encode import (
    SequenceDataset,
    blosum,
    composition,
    encode,
    one_hot,
    z_scales,
)
from leastwise.sequences.families import (
    Family,
    Labels,
    by_mutations,
    by_position,
    is_family,
    low_against_high,
)
from leastwise.sequences.features import features
from leastwise.sequences.identity import Certificate, Split, cluster, split
from leastwise.sequences.language import LanguageModel, load_model
from leastwise.sequences.repeats import Repeats, repeats
from leastwise.sequences.variants import Variants, against, one_hot_variants, variants
from leastwise.sequences.words import relatives

__all__ = [
    "Certificate",
    "Embedded",
    "EmbeddedResidues",
    "Family",
    "Labels",
    "LanguageModel",
    "Related",
    "Repeats",
    "SequenceDataset",
    "Split",
    "Variants",
    "against",
    "blosum",
    "by_mutations",
    "by_position",
    "clean",
    "cluster",
    "composition",
    "embed",
    "embed_residues",
    "encode",
    "features",
    "is_family",
    "load_model",
    "low_against_high",
    "one_hot",
    "one_hot_variants",
    "relatives",
    "repeats",
    "split",
    "variants",
    "z_scales",
]

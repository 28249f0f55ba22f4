"""Recipe: Slab -> Block. Which columns and sequences become X, y, weight and group.

A recipe is first *asked* (what the user names), then *settled* against a source: roles are checked
against its columns, each feature becomes a term, and what has to be found in the rows (levels of
texts, which numbers have gaps) is found in one first look. A settled recipe is kept in the model
file, so that prediction repeats it exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from leastwise import arrow, encodings, terms, transforms
from leastwise.encodings import Encoding
from leastwise.errors import (
    ColumnError,
    DataError,
    KindError,
    MissingError,
    UsageError,
    listed,
    plural,
)
from leastwise.look import Column, Look, first_rows, like_date, like_number, like_proteins, look
from leastwise.numerics import Array
from leastwise.roles import as_names, check_roles, refuse_idle
from leastwise.rows.block import (
    Block,
    Kind,
    Left,
    Rows,
    Slab,
    checked_weights,
    dropped_of,
    numbers_of,
)
from leastwise.rows.memory import check_names
from leastwise.sequences.regimes import Regime
from leastwise.sides import Sides
from leastwise.terms import Term
from leastwise.transforms import Transform

POLICIES: dict[str, tuple[str, ...]] = {
    "missing": ("error", "drop", "mean"),
    "unseen": ("error", "reference"),
    "dates": ("error", "days"),
    "unknown": ("error", "drop", "mask", "expected"),
    "weight_kind": ("analytic", "frequency", "sampling"),
}
MOST_LEVELS = 1_000  # texts of one column that become indicators unasked


@dataclass(frozen=True)
class Recipe:
    """What is asked of the columns, and, once settled, what they became.

    `target` one name or several; `features` names in order (by default all columns without a role),
    `powers` degrees by column (what `lw.poly("x", 3)` among the features means), `drop` names to
    leave out; `group` rows that belong together in folds; `weight`, and what it means (`weight_kind`):
    "analytic" (the variance of the row is s^2 / w), "frequency" (the row was seen w times), "sampling"
    (it stands for w rows that were not seen); `cluster` rows whose errors hang together (for standard
    errors); `categorical` columns whose values are levels though they may be numbers; `levels` declared
    levels by column, the reference first.
    `missing`: "error", "drop" (the row), or "mean" (numbers: the training rows' mean; texts: a level
    of their own). `unseen` levels at prediction: "error" or "reference". `dates`: "error" or "days".
    `sequence` a column of protein sequences; `encode_as` what they become (encodings.py); `wild_type`
    that of which they are variants (cells may then be names such as A23V:K45R), and `offset`, the number
    of its first residue in names; `regime`, or `group`: which are held out together, as "identity:0.3",
    "position:modulo" or "mutations:2" (sequences/regimes.py). `unknown` letters of a sequence: "error",
    "drop", "mask" or "expected" (B, Z and J count as the average over what they may be).
    `transform` of the target (transforms.py): "log", "log:0.01", "log:5%", "ranks", or the one that
    held-out folds choose, "cv" by squared error and "cv:spearman" by order. Predictions are turned back.
    """

    target: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    powers: Mapping[str, int] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    sequence: str | None = None
    group: str | None = None
    regime: str | None = None
    encode_as: str | None = None
    wild_type: str | None = None
    offset: int | None = None
    weight: str | None = None
    weight_kind: str = "analytic"
    cluster: str | None = None
    categorical: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: str = "error"
    unseen: str = "error"
    dates: str = "error"
    unknown: str = "error"
    transform: str = "none"
    terms: tuple[Term, ...] = ()
    scale: Transform | None = None  # of the target: what was learned of it
    sides: bool = False  # whether the group says train, val, test or pred (folds="predefined")
    marked: str | None = None  # and a column that marks the val among train
    filled: tuple[int, ...] = ()  # places of X that may be NaN: those with an indicator
    notes: tuple[str, ...] = ()  # what was decided while settling, to be told

    def __post_init__(self) -> None:
        self._take_powers()
        for name in ("target", "features", "drop", "categorical"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _checked_names(name, value))
        for name in ("sequence", "group", "weight", "cluster"):
            if not isinstance(getattr(self, name), (str, NoneType)):
                raise UsageError(
                    f"{name} came as {type(getattr(self, name)).__name__}. It is the name of a column. "
                    "Put the values into the table and name their column."
                )
        if self.encode_as is not None:
            encodings.parts(self.encode_as)
        transforms.checked(self.transform)
        self._take_regime()
        if not isinstance(self.levels, Mapping):
            raise UsageError("levels is {'column': ['reference', 'other', ...]}. Give it so.")
        levels = {k: _checked_names(f"levels of '{k}'", v) for k, v in self.levels.items()}
        object.__setattr__(self, "levels", levels)
        for name, known in POLICIES.items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"{name}={getattr(self, name)!r} is not known. It is one of {listed(known, last='or')}."
                )

    def _take_regime(self) -> None:
        """`identity:0.3` and `position:modulo` are no columns, but what is held out together."""
        if self.group is not None and (found := Regime.of(self.group)):
            object.__setattr__(self, "regime", str(found))
            object.__setattr__(self, "group", None)
        if self.regime is not None and self.named_groups is not None:
            raise UsageError(
                f"'{self.regime}' and the column '{self.named_groups}' came, and both say what belongs "
                "together. Leave one of them out."
            )

    def _take_powers(self) -> None:
        """`poly` among the features is a name, and a degree in `powers`."""
        if not isinstance(self.powers, Mapping):
            raise UsageError(f"powers={self.powers!r} is no mapping. It is {{'column': degree}}.")
        powers = {column: terms.poly(column, degree).degree for column, degree in self.powers.items()}
        given: Any = (self.features,) if isinstance(self.features, terms.Poly) else self.features
        if isinstance(given, (list, tuple)):
            powers |= {item.column: item.degree for item in given if isinstance(item, terms.Poly)}
            given = tuple(item.column if isinstance(item, terms.Poly) else item for item in given)
        object.__setattr__(self, "features", given)
        object.__setattr__(self, "powers", powers)

    # ---- settling ----

    def settled(self, rows: Rows) -> Recipe:
        """This recipe with its terms, found in one look at `rows` where they cannot be known before.

        Raises ColumnError (unknown, doubled, or of the wrong kind), KindError (dates), UsageError
        (a source that can be read once only, and levels that were not declared).
        """
        asked = self if self.target else replace(self, target=rows.targets)
        asked = replace(asked, marked=asked._marking(rows))
        check_roles(asked, rows)
        chosen = asked._chosen(rows)
        refuse_idle(asked, chosen)
        kinds = {c: asked._kind(c, rows) for c in chosen}
        seen = asked._first_look(rows, kinds)
        made = [asked._term(c, kinds[c], rows, seen) for c in chosen]
        first, told = asked._encoded(rows)
        asked._refuse_transform(rows)
        notes = [note for _, note in made if note]
        if len(notes) > 5:
            notes = [f"{len(notes)} columns of texts became indicators against their first level"]
        done = replace(
            asked,
            terms=(*first, *(t for t, _ in made)),
            notes=tuple(asked._unused(rows, chosen) + told + asked._of_sides() + notes),
        )
        check_names(done.names, f"The features of {rows.source}")
        if not done.names:
            raise ColumnError(
                f"{rows.source} leaves no feature: its columns have other roles or do not vary. "
                "Name features=, or check the roles."
            )
        gaps = {c for c in seen.columns if kinds[c] != "text" and seen.columns[c].missing}
        holed = {name for term in done.terms if term.column in gaps for name in term.names}
        places = tuple(j for j, name in enumerate(done.names) if name in holed)
        return replace(done, filled=places if self.missing == "mean" else ())

    def _marking(self, rows: Rows) -> str | None:
        """Beside a column `set`, as FLIP has it: `validation`, unless that has another role."""
        if not self.sides or (self.named_groups or "").lower() != "set":
            return None
        taken = {*self.target, *(self.features or ()), *self.drop, *self.categorical, *self.levels}
        taken |= {*self.powers, *as_names(self.weight), *as_names(self.sequence)}
        found = [name for name in rows.names if name.lower() == "validation" and name not in taken]
        return found[0] if found else None

    def _of_sides(self) -> list[str]:
        marked = f"'{self.marked}' marks the val among train, by which a penalty or transform is chosen"
        return [marked] if self.marked else []

    def _refuse_transform(self, rows: Rows) -> None:
        """A transform is learned from one target, which is read before the features."""
        if self.transform == "none":
            return
        if len(self.target) > 1:
            raise UsageError(
                f"transform='{self.transform}' is of one target, and {listed(self.target)} came. Fit each "
                "by itself."
            )
        if not rows.rereadable:
            raise UsageError(
                f"transform='{self.transform}' is learned from all rows first, and {rows.source} can be "
                "read once. Write it to a file, or transform the target yourself."
            )

    def _chosen(self, rows: Rows) -> tuple[str, ...]:
        """The plain columns that become features, in order."""
        if self.features is not None:
            return tuple(c for c in self.features if c not in self.drop)
        if self.sequence and self.encode_as != "none":
            return ()
        roles = {*self.target, *rows.targets, *as_names(self.group), *as_names(self.weight), *self.drop}
        roles |= {*as_names(self.cluster), *as_names(self.sequence), *as_names(self.marked)}
        return tuple(c for c in rows.names if c not in roles)

    def _unused(self, rows: Rows, chosen: Iterable[str]) -> list[str]:
        roles = {*self.target, *as_names(self.group), *as_names(self.weight), *as_names(self.sequence)}
        roles |= {*chosen, *self.drop, *as_names(self.cluster), *as_names(self.marked)}
        left = [c for c in rows.names if c not in roles]
        if not left or self.features is not None or self.sequence is None:
            return []
        verb = "is" if len(left) == 1 else "are"
        told = [f"{listed(left)} {verb} not used beside the sequence; --features adds columns"]
        side = next((name for name in left if name.lower() == "set"), None)
        more = f"'{side}' may say train and test: --group {side} --folds predefined scores by it"
        return told + ([more] if side else [])

    def _kind(self, column: str, rows: Rows) -> Kind:
        kind = rows.kinds[column]
        if column in self.categorical or column in self.levels:
            return "text"
        if kind == "other" or (kind == "date" and self.dates == "error"):
            what = "a date" if kind == "date" else "nested or of a kind that is no number"
            do = ", or count days with dates='days' (--dates days)" if kind == "date" else ""
            raise KindError(
                f"Column '{column}' is {what}. It is not taken as a feature unasked. "
                f"Leave it out with drop=['{column}'] (--drop '{column}'){do}."
            )
        return kind

    def _encoded(self, rows: Rows) -> tuple[tuple[Term, ...], list[str]]:
        """The terms of the sequences, and what is to be told of them."""
        name = self.sequence
        if name is None:
            return (), []

        def texts() -> dict[str, int]:
            if not rows.rereadable:
                raise UsageError(
                    f"{rows.source} can be read once, and its sequences must be looked at first for "
                    "one-hot and for variants. Write it to a file, or take encode_as='kmers:3'."
                )
            return first_rows(rows, name, self.kept, self.sided_by)

        return encodings.settled(
            name,
            self.unknown,
            self.encode_as,
            self.unseen,
            encodings.letters_of(self.wild_type),
            self.offset,
            texts,
        )

    def _first_look(self, rows: Rows, kinds: Mapping[str, Kind]) -> Look:
        wanted: dict[str, Kind] = {c: k for c, k in kinds.items() if k == "text" and c not in self.levels}
        if self.missing == "mean":
            wanted |= {c: k for c, k in kinds.items() if c not in self.levels}
        if not wanted:
            return Look()
        if not rows.rereadable:
            raise UsageError(
                f"{rows.source} can be read once, and {listed(wanted)} must be looked at first. "
                "Declare levels={'column': [...]} and fill the gaps, or pass a source that can be re-read."
            )
        return look(rows, wanted, self.kept, self.sided_by)

    def _term(self, column: str, kind: Kind, rows: Rows, seen: Look) -> tuple[Term, str]:
        """The term of a column, and what should be told of it."""
        if column in self.powers:
            if kind not in ("number", "boolean"):
                raise ColumnError(
                    f"Column '{column}' is {kind}, and its powers were asked for. They need numbers. "
                    "Leave poly() out for it, or turn it into numbers."
                )
            return terms.Poly(column, self.powers[column]), ""
        if kind == "date":
            return terms.Date(column), ""
        if kind != "text":
            return terms.Number(column), ""
        if column in self.levels:
            declared = self.levels[column]
            return terms.Levels(column, declared, self.unseen, terms.MISSING in declared), ""
        found = seen.columns.get(column, Column())
        texts = sorted(found.texts)
        if column not in self.categorical:
            self._refuse_codes(column, found, rows)
        with_gap = self.missing == "mean" and found.missing > 0
        levels = (*texts, terms.MISSING) if with_gap else tuple(texts)
        term = terms.Levels(column, levels or (terms.MISSING,), self.unseen, with_gap or not levels)
        return term, (
            f"'{column}' has {plural(len(levels), 'level')}: "
            f"{plural(len(term.names), 'indicator')} against '{term.reference}'"
        )

    def _refuse_codes(self, column: str, found: Column, rows: Rows) -> None:
        """Texts that are numbers (or dates) but for a few, and too many texts, are not guessed at."""
        cells = sum(found.texts.values())
        for kind, reads in (("number", like_number), ("date", like_date)):
            like = [text for text in found.texts if reads(text)]
            if kind == "date" and self.dates == "error":
                continue
            if len(like) >= 3 and sum(found.texts[text] for text in like) >= 0.75 * cells:
                raise rows.faults({column: kind}) or self._odd_texts(column, kind, like, found)
        if len(found.texts) > MOST_LEVELS or len(found.texts) > max(20, cells / 2):
            kin = f" If these are proteins: sequence='{column}' (--sequence '{column}')."
            raise ColumnError(
                f"Column '{column}' of {rows.source} has {'over ' if found.cut_off else ''}"
                f"{len(found.texts):,} distinct texts in {cells:,} cells; each would be a column. Leave "
                f"it out with drop=['{column}'] (--drop '{column}'), or ask for all with "
                f"categorical=['{column}'].{kin if like_proteins(found.texts) else ''}"
            )

    def _odd_texts(self, column: str, kind: str, like: list[str], found: Column) -> ColumnError:
        odd = [text for text in found.texts if text not in set(like)]
        what = f"all but {listed(odd, most=3)} look like {kind}s" if odd else f"all look like {kind}s"
        return ColumnError(
            f"Column '{column}' is text, yet {what}. Convert it to {kind}s, or declare it as text: "
            f"categorical=['{column}'] (--categorical '{column}')."
        )

    # ---- applying ----

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns of X (p,)."""
        return tuple(name for term in self.terms for name in term.names)

    @property
    def reads(self) -> dict[str, Kind]:
        """The columns that a source is asked for to make features, and as what."""
        return {term.column: term.kind for term in self.terms}

    @property
    def reads_all(self) -> dict[str, Kind]:
        """The same for training: features, targets, weight and group."""
        kinds: dict[str, Kind] = dict.fromkeys((*self.target, *as_names(self.weight)), "number")
        texts = (*as_names(self.together), *self.sided_by)
        return {**dict.fromkeys(texts, "text"), **self.reads, **kinds}

    @property
    def sided_by(self) -> tuple[str, ...]:
        """The columns that say the sides, where any do."""
        return () if self.says is None else self.says.columns

    @property
    def named_groups(self) -> str | None:
        """The column of rows that belong together, as the user named it: the group, or the clusters."""
        return self.group or self.cluster

    @property
    def together(self) -> str | None:
        """The column whose equal values come into one fold: the group, the clusters, or the sequence."""
        return self.named_groups or self.sequence

    @property
    def derived(self) -> bool:
        """Whether columns are made here, of sequences: they are rounded, however exact moments are."""
        return any(isinstance(term, Encoding) for term in self.terms)

    @property
    def transformed(self) -> bool:
        """Whether the target that is fitted is not the one that came."""
        return self.scale is not None and self.scale.name != "none"

    @cached_property
    def stored(self) -> bool:
        """Whether X is mostly zeros, and is made as it is stored (`columns`)."""
        return not self.filled and any(isinstance(t, Encoding) and t.stored for t in self.terms)

    def matrix(self, slab: Slab) -> tuple[NDArray[Any], Left]:
        """`X` (n, p) of a slab, NaN where a number is missing, and the rows that could not be filled."""
        if all(isinstance(term, terms.Number) for term in self.terms):
            return slab.matrix(self.names), {}
        X = np.empty((len(self.names), slab.n)).T
        left: Left = {}
        start = 0
        for term in self.terms:
            stop = start + len(term.names)
            left |= term.fill(slab, X[:, start:stop])
            start = stop
        return X, left

    def columns(self, slab: Slab) -> tuple[Any, Left]:
        """The same as a CSR array of scipy where `stored`: no dense matrix is made."""
        if not self.stored:
            return self.matrix(slab)
        from scipy import sparse

        made: list[Any] = []
        left: Left = {}
        for term in self.terms:
            if isinstance(term, Encoding) and term.stored:
                found, rows, without = term.columns(slab)
                place = sparse.csr_array(
                    (np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(slab.n, len(rows))
                )
                made.append(place @ found if len(rows) < slab.n else found)
            else:
                X = np.empty((slab.n, len(term.names)))
                without = term.fill(slab, X)
                made.append(sparse.csr_array(X))
            left |= without
        return sparse.hstack(made, format="csr"), left

    def low(self, slab: Slab) -> Array | None:
        """What float64 leaves out of `matrix(slab)` (n, p); None where it holds every number."""
        if all(isinstance(term, terms.Number) for term in self.terms):
            return slab.low(self.names)
        lows = [terms.low_of(term, slab) for term in self.terms]
        if all(low is None for low in lows):
            return None
        widths = [len(term.names) for term in self.terms]
        some = (
            np.zeros((slab.n, width)) if low is None else low
            for low, width in zip(lows, widths, strict=True)
        )
        return np.hstack(list(some))

    def block(self, slab: Slab, *, low: bool = False, stored: bool = False) -> Block:
        """The slab as numbers, its unusable rows left out and counted by reason.

        `low`: whether what float64 leaves out of the numbers is wanted too; `stored`: whether X may come as
        a CSR array.
        """
        came, slab = slab, self.kept(slab)
        X, left = self.columns(slab) if stored else self.matrix(slab)
        Y = slab.matrix(self.target)
        lows = [self.low(slab), slab.low(self.target)] if low else []
        if self.scale is not None:
            Y, lows[1:] = self.scale.of(np.asarray(Y, np.float64)), [None] * low
        w, group = self._weights(slab), self._group(slab)
        if group is not None and group.null_count:
            left[self.together or "", "missing"] = arrow.nulls(group)
        if self.missing == "error":
            _refuse_left(left, slab)
        else:
            self._refuse_undeclared(left)
            left |= self._gaps(X, Y, w)
        if w is not None and (w == 0).any():
            left[self.weight or "", "as its weight is 0"] = w == 0
        rows = numbers_of(slab)
        out, dropped = dropped_of(left, slab.n)
        if slab.n < came.n:
            dropped |= {f"'{self.named_groups}' as it is only to be predicted": came.n - slab.n}
        if out.any():
            keep = ~out
            X, Y, rows = X[keep], Y[keep], rows[keep]
            lows = [None if part is None else part[keep] for part in lows]
            w = None if w is None else w[keep]
            group = None if group is None else group.filter(arrow.numbers(keep))
        return Block(X, Y, w, group, rows, dropped, *lows)

    @cached_property
    def says(self) -> Sides | None:
        """What says the sides of rows; None where that is not asked of the group."""
        group = self.named_groups
        return Sides(group, self.marked, self.sequence) if self.sides and group else None

    def kept(self, slab: Slab) -> Slab:
        """The rows of a slab but for those that are only to be predicted."""
        return slab if self.says is None else self.says.kept(slab)

    def _group(self, slab: Slab) -> pa.Array | None:
        """What belongs together."""
        if self.says is not None:
            return self.says.groups(slab)
        return slab.texts(self.together) if self.together else None

    def _weights(self, slab: Slab) -> Array | None:
        """The weights (n,), NaN where a cell is missing and such rows are dropped."""
        if self.weight is None:
            return None
        w = slab.matrix((self.weight,))[:, 0].astype(np.float64)
        plain = w if self.missing == "error" else np.nan_to_num(w, posinf=np.inf)
        checked_weights(plain, slab.n, slab.first)
        if self.weight_kind == "frequency" and (plain % 1 != 0).any():
            odd = int(np.argmax(plain % 1 != 0))
            raise DataError(
                f"Row {slab.first + odd + 1:,} has the weight {plain[odd]:g} in '{self.weight}', and a row "
                "is seen a whole number of times. Round it, or say weight_kind='analytic' or 'sampling'."
            )
        return w

    def _refuse_undeclared(self, left: Left) -> None:
        """Under "mean" a missing text is a level; declared levels must have it."""
        for column, why in left:
            if self.missing == "mean" and why == "missing" and column in self.levels:
                raise ColumnError(
                    f"Column '{column}' has missing cells, and its declared levels have no "
                    f"'{terms.MISSING}'. Declare that level too, or pass missing='drop'."
                )

    def _gaps(self, X: NDArray[Any], Y: NDArray[Any], w: Array | None) -> Left:
        """Rows whose target, weight or (under "drop") features are missing."""
        left: Left = {}
        for j, name in enumerate(self.target):
            left[name, "missing"] = np.isnan(Y[:, j])
        if w is not None:
            left[self.weight or "", "missing"] = np.isnan(w)
        if not isinstance(X, np.ndarray):  # as it is stored
            where = np.flatnonzero(np.isnan(X.data))
            at = np.searchsorted(X.indptr, where, side="right") - 1
            for j in np.unique(X.indices[where]):
                left[self.names[j], "missing"] = np.isin(np.arange(len(Y)), at[X.indices[where] == j])
            return {reason: rows for reason, rows in left.items() if rows.any()}
        filled = set(self.filled)
        plain = [j for j in range(X.shape[1]) if j not in filled]
        if X.dtype.kind == "f":
            for j in plain:
                gap = np.isnan(X[:, j])
                if gap.any():
                    left[self.names[j], "missing"] = gap
        return {reason: rows for reason, rows in left.items() if rows.any()}

    # ---- keeping ----

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        said = {**asdict(self), "levels": {k: list(v) for k, v in self.levels.items()}}
        said["powers"] = dict(self.powers)
        said["scale"] = None if self.scale is None else asdict(self.scale)
        return {**said, "terms": [terms.to_dict(term) for term in self.terms]}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
        fields["terms"] = tuple(terms.from_dict(term) for term in said["terms"])
        fields["scale"] = None if said["scale"] is None else Transform.from_dict(said["scale"])
        return cls(**fields)


def explain_missing(seen: Look, recipe: Recipe) -> DataError | None:
    """Which columns have cells that least squares cannot take, as far as they were looked at."""
    sorts = {
        "missing": {n: (c.missing, c.first_missing) for n, c in seen.columns.items() if c.missing},
        "infinite": {n: (c.infinite, c.first_infinite) for n, c in seen.columns.items() if c.infinite},
        "huge": {n: (c.huge, c.first_huge) for n, c in seen.columns.items() if c.huge},
    }
    if recipe.missing != "error":
        del sorts["missing"]
    elif set(sorts["missing"]) and set(sorts["missing"]) <= set(recipe.target):
        (name, (count, first)), *_ = sorts["missing"].items()
        return MissingError(
            f"The target '{name}' has {plural(count, 'missing value')} in {plural(seen.n, 'row')} "
            f"(first: row {first + 1:,}). Nothing can be learned from those rows. Leave them out with "
            "missing='drop' (--missing drop)."
        )
    return next((terms.missing_error(bad, what, seen.n) for what, bad in sorts.items() if bad), None)


def _refuse_left(left: Left, slab: Slab) -> None:
    counts = {
        column: (int(rows.sum()), slab.first + int(np.argmax(rows)))
        for (column, why), rows in left.items()
        if why == "missing"
    }
    if counts:
        raise terms.missing_error(counts, "missing", slab.n)


def _checked_names(role: str, names: Any) -> tuple[str, ...]:
    """Names as a tuple, each a text and given once."""
    found = (names,) if isinstance(names, str) else names
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) for name in found):
        raise UsageError(f"{role}={names!r} is no name of a column, and no list of names. Give names.")
    twice = [name for i, name in enumerate(found) if name in found[:i]]
    if twice:
        raise ColumnError(f"{listed(twice)} was given twice ({role}). Give each name once.")
    return tuple(found)

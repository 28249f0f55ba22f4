"""The roles that columns are given: what a recipe asks for must be there, and make sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leastwise.errors import ColumnError, UsageError, did_you_mean, listed
from leastwise.rows.block import Rows

if TYPE_CHECKING:
    from leastwise.recipe import Recipe


def check_roles(recipe: Recipe, rows: Rows) -> None:
    """Every column that was named is there, has one role, and is of a kind that goes with it."""
    if not recipe.target:
        raise UsageError(
            f"No target was named. Say which column is to be predicted: target='...' "
            f"(--target). {did_you_mean('', rows.names)}"
        )
    roles = {
        "target": recipe.target,
        "sequence": as_names(recipe.sequence),
        "group": as_names(recipe.group),
        "cluster": as_names(recipe.cluster),
    }
    roles |= {"weight": as_names(recipe.weight), "features": recipe.features or (), "drop": recipe.drop}
    roles |= {
        "categorical": recipe.categorical,
        "levels": tuple(recipe.levels),
        "powers": tuple(recipe.powers),
    }
    for role, names in roles.items():
        for name in names:
            if name not in rows.names:
                raise ColumnError(
                    f"There is no column '{name}' in {rows.source} ({role}). "
                    f"{did_you_mean(name, rows.names)}"
                )
    taken = [*recipe.target, *as_names(recipe.weight), *as_names(recipe.sequence)]
    taken += [name for name in as_names(recipe.cluster) if name in taken]
    other = {*(recipe.features or ()), *recipe.drop}
    twice = sorted({n for n in taken if taken.count(n) > 1 or n in other})
    if twice:
        raise ColumnError(f"Column {listed(twice)} was given two roles. Give each column one.")
    for role in ("target", "weight"):
        for name in as_names(getattr(recipe, role)):
            _numeric(name, role, rows)


def refuse_idle(recipe: Recipe, chosen: tuple[str, ...]) -> None:
    """An option that would change nothing is a mistake, not a wish."""
    idle = [name for name in dict.fromkeys((*recipe.categorical, *recipe.levels)) if name not in chosen]
    if idle:
        raise ColumnError(
            f"{listed(idle)} was declared to have levels, and is no feature here. Add it to the "
            "features, or leave the declaration out."
        )
    idle = [name for name in recipe.powers if name not in chosen]
    if idle:
        raise ColumnError(
            f"Powers of {listed(idle)} were asked for, and it is no feature here. Add it to the features."
        )
    if recipe.weight_kind != "analytic" and recipe.weight is None:
        raise UsageError(
            f"weight_kind='{recipe.weight_kind}' is about weights, and no column of weights was named. "
            "Say weight='...' (--weight), or leave it out."
        )
    of_sequences = {
        "regime": (recipe.regime, None), "unknown": (recipe.unknown, "error"),
        "encode_as": (recipe.encode_as, None), "wild_type": (recipe.wild_type, None),
        "offset": (recipe.offset, None),
    }  # fmt: skip
    for name, (value, idle_value) in of_sequences.items():
        if value != idle_value and recipe.sequence is None:
            raise UsageError(
                f"{name}={value!r} is about sequences, and no sequence was named. Say sequence='...' "
                "(--sequence), or leave it out."
            )
    if recipe.offset is not None and recipe.wild_type is None:
        raise UsageError(
            f"offset={recipe.offset} is the number of the wild type's first residue, and there is none. "
            "Say wild_type='...' (--wild-type), or leave it out."
        )


def _numeric(name: str, role: str, rows: Rows) -> None:
    """Refuses a column that is no number, with its first such cell where that is the fault."""
    if rows.kinds[name] in ("number", "boolean"):
        return
    fault = rows.faults({name: "number"}, declare=False) if rows.kinds[name] == "text" else None
    if fault is not None:
        raise ColumnError(f"The {role} '{name}' must be numeric. {fault}")
    raise ColumnError(
        f"The {role} '{name}' is a column of {rows.kinds[name]}. It must be numeric. Name another "
        "one, or turn it into numbers."
    )


def as_names(names: Any) -> tuple[str, ...]:
    """A name or names as a tuple; None is no names."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)

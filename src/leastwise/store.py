"""Model and moment files: tensors and a JSON header in the safetensors format, checksummed.

Nothing in such a file is executed when it is read, and neither pickle nor torch takes part. The
header holds a schema version and a SHA-256 over all the rest, so that a file with one bit changed
is refused instead of giving other coefficients.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise._version import __version__
from leastwise.choice import Choice
from leastwise.conformal import Conformal
from leastwise.disk import umask, whole_file
from leastwise.errors import DataError, StoreError, UsageError
from leastwise.fitted import Fit, Tally
from leastwise.folds import FoldPlan
from leastwise.inference import Inference, NoInference, coefficients, terms_of
from leastwise.integers import Integers
from leastwise.moments import Moments
from leastwise.options import Options
from leastwise.parts import Dense, Exact, Part, Sparse, Thin
from leastwise.penalties import Penalty
from leastwise.recipe import Recipe
from leastwise.report.page import page
from leastwise.solve import Solution
from leastwise.transforms import Transform
from leastwise.validation import NoValidation, Validation

SCHEMA = 4
KEY = "leastwise"
Tensors = dict[str, NDArray[Any]]


def save(what: Fit | Moments, path: str | os.PathLike[str]) -> None:
    """Write a fit or moments to one file, whole or not at all.

    A fit keeps its moments, so that it can be reported again; but of folds (or a whole) of no more
    rows than columns, from which rows could be read off, they stay out of a model file, which may be
    given away. Raises UsageError for anything else, StoreError where it cannot be written.
    """
    if isinstance(what, Fit):
        header, tensors = _of_fit(what)
    elif isinstance(what, Moments):
        header, tensors = _of_moments(what)
    else:
        raise UsageError(f"A fit or moments can be saved, not {type(what).__name__}.")
    write_whole(Path(path), _packed(header, tensors))


def load(path: str | os.PathLike[str]) -> Any:
    """The Fit or the Moments that a file holds; a folder stands for its `model.safetensors`.

    Raises DataError where there is no such file, StoreError where it is damaged, of another kind,
    or of a later schema.
    """
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.exists():
        raise DataError(f"There is no model at {path}. Fit one first (leastwise fit ... -o RUN).")
    header, tensors = _unpacked(path)
    return _to_fit(header, tensors) if header["kind"] == "fit" else _to_moments(header, tensors)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step."""
    with whole_file(path) as file:
        file.write(data)


# ---- the file ----


def _packed(header: dict[str, Any], tensors: Tensors) -> bytes:
    from safetensors.numpy import save as pack

    header = {
        "schema": SCHEMA,
        "versions": {"leastwise": __version__, "numpy": np.__version__},
        **header,
    }
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    text = json.dumps(header, sort_keys=True)
    return bytes(pack(tensors, {KEY: text, "sha256": _digest(text, tensors)}))


def _unpacked(path: Path) -> tuple[dict[str, Any], Tensors]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(said[KEY])
        schema = int(header["schema"])
    except KeyError:
        raise StoreError(f"{path} is a safetensors file, but not one of leastwise.") from None
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        raise StoreError(
            f"{path} is damaged or no model file ({error}). Restore it, or fit again."
        ) from None
    if schema > SCHEMA:
        raise StoreError(
            f"{path} has schema {schema}; this leastwise ({__version__}) reads {SCHEMA}. "
            "Upgrade: pip install -U leastwise."
        )
    if schema < SCHEMA:
        raise StoreError(
            f"{path} has schema {schema}, of an earlier leastwise; this one ({__version__}) reads "
            f"{SCHEMA}. Fit again."
        )
    if said.get("sha256") != _digest(said[KEY], tensors):
        raise StoreError(
            f"{path} is damaged: its checksum does not agree. Its numbers cannot be trusted. "
            "Restore it from a copy, or fit again."
        )
    return header, tensors


def _digest(header: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    total = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        value = tensors[name]
        total.update(f"|{name}|{value.dtype.str}|{value.shape}|".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()


# ---- a fit ----


def _of_fit(fit: Fit) -> tuple[dict[str, Any], Tensors]:
    s = fit.solution
    shared = None if fit.moments is None else fit.moments.shareable
    tensors: Tensors = {}
    if s.root is not None and shared is not None:  # the root gives away what the moments would
        tensors = {"root": s.root, "mean": s.mean}
    tensors |= {
        "coef": s.coef, "intercept": s.intercept, "kept": s.kept, "rss": s.rss, "tss": s.tss,
        "rss_digits": s.rss_digits, "fills": fit.fills, "gap": s.gap, "goal": s.goal, "df": s.df,
    }  # fmt: skip
    if fit.choice is not None:
        tensors |= {f"choice.{name}": getattr(fit.choice, name) for name in _CHOICE}
    header: dict[str, Any] = {
        "kind": "fit",
        "recipe": fit.recipe.to_dict(),
        "options": {k: getattr(fit.options, k) for k in _OPTIONS}
        | {"penalty": asdict(fit.options.penalty)},
        "solution": {k: getattr(s, k) for k in _SOLUTION} | {"penalty": asdict(s.penalty)},
        "tally": {
            "read": fit.tally.read,
            "dropped": dict(fit.tally.dropped),
            "log_weight": fit.tally.log_weight,
        },
        "source": fit.source,
        "native": fit.native,
        "columns": list(fit.columns),
        "stacked": fit.stacked,
        "notes": list(fit.notes),
        "facts": fit.facts,
    }
    if shared is not None:
        header["moments"], more = _moments_parts(shared)
        tensors |= more
    header["scores"], more = _scores(fit)
    header["inference"], errors = _inference(fit, shared is not None)
    return header, tensors | more | errors


def _scores(fit: Fit) -> tuple[dict[str, Any], Tensors]:
    """The validation as it is: its arrays and its plan, or the reason why there is none."""
    scores = fit.validation
    if not isinstance(scores, Validation):
        return {"reason": scores.reason}, {}
    tensors: Tensors = {f"scores.{name}": getattr(scores, name) for name in _SCORES}
    if fit.recipe.sequence or fit.solution.penalised or scores.plan.by == "group":
        errors = fit.conformal  # what intervals of unseen groups are made of
        if isinstance(errors, Conformal):
            tensors |= {"conformal.errors": errors.errors, "conformal.weight": errors.weight}
    return {"plan": scores.plan.to_dict(), "back": [asdict(one) for one in scores.back]}, tensors


def _inference(fit: Fit, shared: bool) -> tuple[dict[str, Any], Tensors]:
    """The standard errors, as they were told: some took the rows, which the file does not hold.

    Covariances go along where the moments do: rows of a small fit could be read off them.
    """
    found = fit.inference
    if not isinstance(found, Inference):
        return {"reason": found.reason}, {}
    tensors: Tensors = {"inference.se": found.se} | ({"inference.cov": found.cov} if shared else {})
    return {"kind": found.kind, "df": found.df, "clusters": found.clusters}, tensors


def _read_inference(said: dict[str, Any], tensors: Tensors, s: Solution) -> Inference | NoInference:
    """What was kept of them; nan for covariances that were not."""
    if "reason" in said:
        return NoInference(said["reason"])
    se = tensors["inference.se"]
    cov = tensors.get("inference.cov", np.full((*se.shape, se.shape[1]), np.nan))
    return Inference(
        said["kind"], terms_of(s), s.targets, coefficients(s), se, cov, said["df"], said["clusters"]
    )


def _read_scores(said: dict[str, Any], tensors: Tensors) -> Validation | NoValidation:
    if "reason" in said:
        return NoValidation(said["reason"])
    arrays: dict[str, Any] = {name: tensors[f"scores.{name}"] for name in _SCORES}
    back = tuple(Transform.from_dict(one) for one in said["back"])
    return Validation(FoldPlan(**said["plan"]), **arrays, back=back)


_SCORES = (
    "n", "mse", "r2", "train_mse", "train_r2", "mean_mse", "mean_r2", "left_out", "coef", "intercept",
    "fills", "alpha",
)  # fmt: skip
_CHOICE = ("alphas", "mse", "weight", "scale", "error", "spread")
_OPTIONS = (
    "intercept", "rank", "folds", "seed", "precision", "se", "repeats", "alphas", "standardize", "factors",
    "bounds", "positive",
)  # fmt: skip
_SOLUTION = (
    "names", "targets", "rank", "dropped", "constant", "method", "precision", "condition", "digits", "n",
    "weight", "fits_intercept", "se_digits",
)  # fmt: skip


def _to_fit(header: dict[str, Any], tensors: Tensors) -> Fit:
    said: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in header["solution"].items()
    }
    arrays: dict[str, Any] = {
        k: tensors[k]
        for k in ("coef", "intercept", "kept", "rss", "tss", "rss_digits", "gap", "goal", "df")
    }
    said["penalty"] = _read_penalty(header["solution"]["penalty"])
    options: dict[str, Any] = dict(header["options"])
    options["bounds"] = {name: tuple(pair) for name, pair in options["bounds"].items()}
    if isinstance(options["alphas"], list):
        options["alphas"] = tuple(options["alphas"])
    options["penalty"] = _read_penalty(header["options"]["penalty"])
    arrays |= {k: tensors[k] for k in ("root", "mean") if k in tensors}
    moments = _read_moments(header["moments"], tensors) if "moments" in header else None
    fit = Fit(
        Recipe.from_dict(header["recipe"]),
        Options(**options),
        Solution(**said, **arrays),
        Tally(**header["tally"]),
        header["source"],
        moments,
        tensors["fills"],
        header["native"],
        tuple(header["notes"]),
        columns=tuple(header["columns"]),
        stacked=header["stacked"],
        choice=_read_choice(options["penalty"].rule, tensors),
    )
    fit.__dict__["inference"] = _read_inference(header["inference"], tensors, fit.solution)
    fit.__dict__["validation"] = _read_scores(header["scores"], tensors)
    if "conformal.errors" in tensors:
        fit.__dict__["conformal"] = Conformal(tensors["conformal.errors"], tensors["conformal.weight"])
    fit.__dict__["facts"] = header["facts"]  # as they were told when the rows were at hand
    return fit


def _read_penalty(said: dict[str, Any]) -> Penalty:
    return Penalty(said["l1"], said["l2"], said["rule"], tuple(said["share"]))


def _read_choice(rule: str, tensors: Tensors) -> Choice | None:
    arrays = [tensors[f"choice.{name}"] for name in _CHOICE] if "choice.alphas" in tensors else None
    return None if arrays is None else Choice(rule, *arrays)


# ---- moments ----


def _of_moments(moments: Moments) -> tuple[dict[str, Any], Tensors]:
    said, tensors = _moments_parts(moments)
    return {"kind": "moments", "moments": said}, tensors


def _to_moments(header: dict[str, Any], tensors: Tensors) -> Moments:
    return _read_moments(header["moments"], tensors)


def _moments_parts(moments: Moments) -> tuple[dict[str, Any], Tensors]:
    said = {
        "names": list(moments.names),
        "targets": list(moments.targets),
        "filled": list(moments.filled),
        "weight_kind": moments.weight_kind,
        "plan": moments.plan.to_dict() if moments.plan is not None else None,
        "counts": [part.n for part in moments.parts],
        "low": [part.integers.low for part in moments.settled().parts if isinstance(part, Exact)],
        "long": [part.long for part in moments.parts if isinstance(part, Exact)],
    }
    tensors: Tensors = {"moments.shift": moments.shift}
    for f, part in enumerate(moments.settled().parts):
        if isinstance(part, Exact):
            upper = np.triu_indices(part.integers.limbs.shape[1])
            tensors[f"moments.limbs.{f}"] = part.integers.limbs[:, *upper].astype(np.int32)  # 23 bits
            continue
        tensors[f"moments.size.{f}"] = part.size
        if isinstance(part, (Thin, Sparse)):
            tensors[f"moments.rows.{f}"] = part.rows if isinstance(part, Thin) else part.thin().rows
        else:  # symmetric: one triangle is all
            tensors[f"moments.cross.{f}"] = part.cross[np.triu_indices(len(part.cross))]
    return said, tensors


def _read_moments(said: dict[str, Any], tensors: Tensors) -> Moments:
    size = len(tensors["moments.shift"]) + 1
    upper = np.triu_indices(size)
    parts: list[Part] = []
    for f, n in enumerate(said["counts"]):
        if f"moments.limbs.{f}" in tensors:
            integers = _read_integers(tensors[f"moments.limbs.{f}"], said["low"][f], size)
            parts.append(Exact(n, integers, said["long"][f]))
            continue
        of = tensors[f"moments.size.{f}"]
        if f"moments.rows.{f}" in tensors:
            parts.append(Thin(n, tensors[f"moments.rows.{f}"], of))
            continue
        cross = np.zeros((size, size))
        cross[upper] = tensors[f"moments.cross.{f}"]
        parts.append(Dense(n, cross + np.triu(cross, 1).T, of))
    return Moments(
        tuple(said["names"]),
        tuple(said["targets"]),
        tensors["moments.shift"],
        tuple(parts),
        tuple(said["filled"]),
        FoldPlan(**said["plan"]) if said["plan"] is not None else None,
        said["weight_kind"],
    )


def _read_integers(triangle: NDArray[Any], low: int, size: int) -> Integers:
    upper = np.triu_indices(size)
    limbs = np.zeros((len(triangle), size, size), np.int64)
    limbs[:, *upper] = triangle
    limbs.transpose(0, 2, 1)[:, *upper] = triangle
    return Integers(limbs, low, np.zeros(size, np.int64))


# ---- a run: the folder that the command line writes ----


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is there, unless it is an earlier run and may be replaced."""
    if not folder.exists():
        if not folder.parent.is_dir():
            raise StoreError(f"There is no folder {folder.parent} to put {folder.name} in. Make it first.")
        return
    is_run = folder.is_dir() and ((folder / "run.json").exists() or not any(folder.iterdir()))
    if not is_run:
        raise StoreError(f"{folder} is there and is no earlier run. Name another folder with -o.")
    if not overwrite and any(folder.iterdir()):
        raise StoreError(f"{folder} holds an earlier run. Pass --overwrite, or name another with -o.")


def save_run(fit: Fit, folder: Path, *, overwrite: bool = False) -> None:
    """Write `model.safetensors`, `coefficients.csv`, `run.json`, `report.html` to a new folder.

    A new folder appears whole or not at all. In an earlier run's folder each of the four files is
    replaced in one step, the model last, and whatever else lies there is left alone.
    """
    folder = folder.resolve()
    check_folder(folder, overwrite=overwrite)
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        save(fit, temporary / "model.safetensors")
        text = json.dumps({"created": created, **fit.facts}, indent=2, allow_nan=False)
        write_whole(temporary / "run.json", text.encode())
        write_whole(temporary / "report.html", page(fit.facts, created=created).encode())
        write_whole(temporary / "coefficients.csv", _table(fit))
        temporary.chmod(0o777 & ~umask())
        _take_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(new: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(new, folder)
        return
    for path in sorted(new.iterdir(), key=lambda path: path.name == "model.safetensors"):
        os.replace(path, folder / path.name)


def _table(fit: Fit) -> bytes:
    rows = fit.facts["coefficients"]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["term"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()

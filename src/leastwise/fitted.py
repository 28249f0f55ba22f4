"""Fit: a fitted model, and every view of it. Nothing writes on it after it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.alone import validate_alone
from leastwise.beside import Beside
from leastwise.choice import Choice, choose
from leastwise.conformal import (
    Conformal,
    Coverage,
    Interval,
    Model,
    coverage,
    models_of,
    predicted,
    why_uncovered,
)
from leastwise.diagnostics import diagnose
from leastwise.errors import ColumnError, DataError, MissingError, UsageError, did_you_mean, listed, plural
from leastwise.folds import ALONE, Dealing, enough, merged, rounded, splits_of
from leastwise.frames import native_table, to_frame
from leastwise.inference import (
    CLUSTERED,
    ROBUST,
    Inference,
    NoInference,
    checked_kind,
    classical,
    cluster_is_number,
    condition_indices,
    residual_variance,
    ridge,
    t_quantile,
    why_none,
)
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.options import Options, default_errors
from leastwise.recipe import Recipe
from leastwise.related import Kindred
from leastwise.report import facts as report_facts
from leastwise.report import text
from leastwise.robust import Pass, clustered, robust, whitened
from leastwise.rows import Rows, Slab, open_rows
from leastwise.rows.block import Left, Tally
from leastwise.rows.memory import ArrayRows, real_matrix
from leastwise.solve import Solution
from leastwise.solve.paths import Path
from leastwise.transformed import Transformed
from leastwise.transforms import CHOSEN
from leastwise.validation import NoValidation, Validation, by_least_squares, held_out, validate


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A fitted linear model: what was asked, what was found, and the moments it was found from.

    Everything that users read is a view, computed when asked: `coef`, `intercept`, `names`,
    `validation`, `predict`, `tidy`, `glance`, `augment`, `summary`.
    """

    recipe: Recipe
    options: Options
    solution: Solution
    tally: Tally
    source: str
    moments: Moments | None = field(repr=False)
    fills: Array = field(repr=False)  # (p,) what a missing number is replaced by under "mean", else (0,)
    native: str = "pyarrow"
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()  # all columns of the source, for arrays that come without names
    stacked: bool = False  # whether y came as (n, 1), so that predictions are (n, 1) too
    unscored: str = ""  # why no folds were made
    rows: Rows | None = field(default=None, repr=False)  # None once loaded from a file
    choice: Choice | None = field(default=None, repr=False)  # of the penalty, where it was to be chosen
    kindred: Kindred | None = field(default=None, repr=False)  # sequences, where folds were made by them
    dealt_anew: Callable[[], Moments | Transformed] | None = field(default=None, repr=False)  # by itself
    scaled: Transformed | None = field(default=None, repr=False)  # of a target that was transformed

    # ---- coefficients ----

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of X (p,)."""
        return self.solution.names

    @property
    def coef(self) -> Any:
        """Coefficients (p,), or (k, p) for k targets; a column left out has 0 here."""
        return self._as_came(_one(self.solution.coef))

    @property
    def intercept(self) -> Any:
        """The intercept: a number, or (k,) for k targets."""
        value = _one(self.solution.intercept)
        return self._as_came(value) if value.ndim else float(value)

    # ---- scores ----

    @cached_property
    def validation(self) -> Validation | NoValidation:
        """Scores on rows not seen, fold by fold; or the reason why there are none (which is false)."""
        if self.options.folds == 0:
            return NoValidation("no folds were asked for")
        if self.options.folds == ALONE:
            return self._left_alone()
        if self.moments is None:
            return NoValidation("the model file holds no moments (they would have been the rows)")
        reason = self.unscored or enough(self.moments, self.solution.needs) or self._too_few_to_choose
        if reason:
            return NoValidation(reason)
        if self.scaled is not None:
            return self.scaled.validation(self.solution)
        again = None
        if self.rows is not None and self.rows.rereadable:
            again = partial(held_out, self.rows, self.recipe)
        return validate(self.moments, self._anew, self.solution, again=again)

    @cached_property
    def random(self) -> Validation | NoValidation:
        """The same with each sequence dealt by itself: what a random split would have said."""
        if self.kindred is None or self.dealt_anew is None or self.kindred.dealt.regime.kind == "sequence":
            return NoValidation("rows were not dealt by kinship")
        found = self.dealt_anew()
        moments = found if isinstance(found, Moments) else found.own
        if reason := enough(moments, self.solution.needs):
            return NoValidation(reason)
        if not isinstance(found, Moments):
            return found.validation(self.solution)
        again = None if self.rows is None else partial(held_out, self.rows, self.recipe)
        return validate(moments, self._anew, self.solution, again=again)

    @cached_property
    def beside(self) -> Beside | None:
        """What stands beside the score of sequences: see beside.py. None where there is nothing to say."""
        scores = self.validation
        if self.kindred is None or not isinstance(scores, Validation) or scores.again is None:
            return None
        return Beside.of(self.kindred, scores, self.random)

    @cached_property
    def conformal(self) -> Conformal | NoValidation:
        """Errors of held-out rows, for intervals of groups that were not seen; or why there are none."""
        scores = self.validation
        if not isinstance(scores, Validation):
            return scores
        if scores.plan.by == ALONE or scores.again is None:
            return NoValidation("the rows cannot be predicted once more, fold by fold")
        held = scores.rows
        splits = scores.plan.splits[: len(scores.plan.splits) // scores.plan.repeats]
        folds = [np.isin(held.part, split.held) for split in splits]
        return Conformal.of([held.Y[here] - held.guess[here, 0] for here in folds])

    def coverage(self, level: float = 0.9) -> Coverage | NoValidation:
        """How often intervals of this level hold on folds that took no part in making them.

        Every two folds are left out once: up to 10 folds. A pass, and a solve for each pair.
        """
        scores = self.validation
        if not isinstance(scores, Validation):
            return scores
        if self.rows is None or self.moments is None or scores.again is None or scores.plan.by == ALONE:
            return NoValidation("the rows cannot be read again")
        counts = np.array([part.n for part in self.moments.parts])
        unable = "" if self.scaled is None else self.scaled.why_uncovered(scores)
        if reason := why_uncovered(scores, counts, self.solution.needs, level) or unable:
            return NoValidation(reason)
        without = self._without if self.scaled is None else partial(self.scaled.without, scores)
        return coverage(self.rows, replace(self.recipe, scale=None), scores, without, level)

    def _without(self, f: int, out: tuple[int, ...]) -> Model:
        """The model of fold f's training rows less some parts, with the penalty that fold f chose."""
        scores, m = self.validation, self.moments
        assert isinstance(scores, Validation)
        assert m is not None
        train = merged(m, tuple(part for part in scores.plan.splits[f].train if part not in out))
        made = self._solved(train.imputed(), float(scores.alpha[f]) if self.options.penalty.rule else None)
        return Model(made.coef, made.intercept, train.gaps + m.shift[list(m.filled)])

    def _left_alone(self) -> Validation | NoValidation:
        """Every row predicted by all the others."""
        if self.options.penalty.rule:
            return NoValidation(
                "the penalty is chosen by leaving out the very rows that would score it; for an honest "
                "score ask for a number of folds"
            )
        if self.moments is None or self.solution.n < 3:
            return NoValidation("the rows are too few")
        again = self._again("folds='leave-one-out'")
        return validate_alone(again, self.moments, self.options.model(self.recipe))

    def _anew(self, known: Moments, dealing: Dealing[Moments], fold: int) -> tuple[Solution, float]:
        """The solution of a fold's training rows, `known`, and the alpha that they choose by themselves."""
        model = self.options.model(self.recipe)
        if model is None or not self.options.penalty.rule:
            return self._solved(known, None), np.nan
        alpha = choose([rounded(dealing).without(fold)], model).alpha
        return self._solved(known, alpha), alpha

    def _solved(self, known: Moments, alpha: float | None) -> Solution:
        """What these rows give by the same options."""
        model = self.options.model(self.recipe)
        if model is None:
            return by_least_squares(self.solution, self.options.rank, self.recipe.derived)(known)
        return model.solve(known, alpha, digits=False)

    @property
    def _too_few_to_choose(self) -> str:
        """Why no fold can choose its penalty by folds of its own; "" where they can."""
        choosing = self.options.penalty.rule or self.recipe.transform in CHOSEN
        if not choosing or self.moments is None:
            return ""
        least = min(max(len(split.others), len(split.always)) for split in splits_of(self.moments))
        if least > 1:
            return ""
        what = "penalty" if self.options.penalty.rule else "transform"
        return f"the {what} is chosen anew in every fold, by the other folds, which takes three at least"

    @cached_property
    def path(self) -> Path | None:
        """The penalised fits of all rows along the path of alphas; None where there is no penalty.

        `path.coef`, `.gap`, `.df`, `.loss`, `.aic`, `.bic`; a penalty in numbers is one of its points.
        `self.choice` has the errors on held-out folds.
        Raises UsageError where a loaded model holds no moments.
        """
        model = self.options.model(self.recipe)
        if model is None or not self.options.penalty:
            return None
        if self.moments is None:
            raise UsageError("The model file holds no moments, which this takes. Fit again.")
        problem = model.problem(merged(self.moments, tuple(range(len(self.moments.parts)))))
        if self.choice is not None:
            return model.path(problem, self.choice.alphas)
        own = self.options.penalty.l1 + self.options.penalty.l2  # the alpha of numbers: of their sum
        return model.path(problem, np.unique(np.append(model.grid(problem), own))[::-1])

    # ---- standard errors ----

    @cached_property
    def inference(self) -> Inference | NoInference:
        """Standard errors of the kind that the options ask for; or why there are none (which is false)."""
        kind = default_errors(self.recipe) if self.options.se is None else self.options.se
        if kind != "classical" and self.options.se is None and (why := self._no_rows):
            return NoInference(f"{kind} errors take the rows once more, and {why}")
        return self.infer(kind)

    def infer(self, se: str, cluster: str | None = None) -> Inference | NoInference:
        """Standard errors of a kind: "classical", "HC0" to "HC3", or by `cluster` "CR0", "CR1", "CR3".

        All but the first read the rows once more. Of a ridge fit, "ridge": the spread of its coefficients.
        Raises UsageError where rows cannot be read again,
        DataError where a row or a cluster alone decides about a coefficient.
        """
        if se == "ridge":
            return self._of_ridge()
        kind = checked_kind(se)
        if cluster is not None and not isinstance(cluster, str):
            raise UsageError(
                f"cluster came as {type(cluster).__name__}. It is the name of a column. Put the values "
                "into the table and name their column."
            )
        if cluster is not None and cluster not in self.columns:
            raise ColumnError(
                f"There is no column '{cluster}' in {self.source} (cluster). "
                f"{did_you_mean(cluster, self.columns)}"
            )
        by = cluster or self.recipe.cluster or self.recipe.group
        if self.rows is not None and self.rows.is_text and self.recipe.reads.get(by or "") == "number":
            raise ColumnError(cluster_is_number(str(by)))
        if cluster is not None and kind not in CLUSTERED:
            raise UsageError(f"se='{kind}' knows no clusters. Pass se='CR1', or leave cluster out.")
        if reason := why_none(self.solution, self.recipe.weight_kind):
            return NoInference(reason)
        if kind == "classical":
            return classical(self.solution, self.recipe.weight_kind)
        if kind in ROBUST:
            return robust(self._again(f"se='{kind}'"), kind)
        if by is None:
            raise UsageError(f"se='{kind}' needs clusters. Name their column with cluster= (--cluster).")
        return clustered(self._again(f"se='{kind}'"), kind, by)

    def _of_ridge(self) -> Inference:
        """How far ridge coefficients would move in other samples."""
        s, asked = self.solution, self.options
        if s.method != "ridge" or asked.standardize or asked.factors or not s.fits_intercept:
            raise UsageError(
                "se='ridge' is for a fit with penalty=lw.L2(alpha) alone, on columns as they came and with "
                f"an intercept; this one is {s.method}. Fit so, or leave it out."
            )
        if self.moments is None:
            raise UsageError("The model file holds no moments, which this takes. Fit again.")
        return ridge(self.moments, s.penalty.l2)

    def diagnostics(self) -> Any:
        """What the rows say of the fit: `Diagnostics`, or a list of them for several targets.

        Leverages, studentised residuals, Cook's distances, DFFITS, PRESS, Durbin-Watson, Breusch-Pagan,
        normality. A second pass; memory: six numbers a row.
        """
        found = diagnose(self._again("diagnostics"))
        return found[0] if len(found) == 1 else found

    def condition_indices(self) -> Array:
        """Belsley's condition indices (r,) of `[1, X]` in unit columns, ascending; over 30 is a warning."""
        if self.moments is None:
            raise UsageError("The model file holds no moments, which this takes. Fit again.")
        if self.solution.penalised:
            raise UsageError(
                "Condition indices are of least squares, and a penalty or bounds took part. Fit without."
            )
        s, m = self.solution, self.moments.imputed()
        p = len(s.names)
        squares = np.diagonal(m.comoment)[:p] + m.weight * m.mean[:p] ** 2
        one = [m.weight] if s.fits_intercept else []
        return condition_indices(s, np.concatenate([one, squares[s.kept]]))

    def _again(self, what: str) -> Pass:
        """The rows of the fit, to be read once more."""
        if self.rows is None or self._no_rows:
            raise UsageError(
                f"{what} takes the rows once more, for residuals are not in the moments; {self._no_rows}. "
                "Fit from a source that can be read again."
            )
        return Pass(self.rows, self.recipe, self.solution, self.fills)

    @property
    def _no_rows(self) -> str:
        """Why the rows cannot be read again; "" where they can."""
        if self.rows is None:
            return "moments hold none" if self.source == "moments" else "a loaded model has none"
        return "" if self.rows.rereadable else "a stream is read once"

    # ---- predicting ----

    def predict(
        self, source: Any, *, interval: float | None = None, of: str | None = None, **how: Any
    ) -> Any:
        """Predictions (n,), or (n, k) for k targets or a y of (n, 1), for the rows of anything.

        With `interval`, say 0.95, an `Interval` of (prediction, low, high), `of` a "row": limits within
        which a new row of weight 1 falls that often, or of the "mean" of all such rows, by the classical
        standard errors: `x b ± t s sqrt(1 + h)`, `x b ± t s sqrt(h)`; or of a row of a group that was
        "unseen", by the errors of held-out folds (conformal.py), as for sequences and penalties unasked.
        NaN for a row that cannot be predicted under missing="drop". Raises MissingError under
        missing="error", ColumnError for unknown columns or levels.
        """
        if of is not None and interval is None:
            raise UsageError(
                f"of={of!r} says which interval is meant, and none was asked for. Add interval=0.95."
            )
        if isinstance(source, list) and source and isinstance(source[0], (list, tuple)):
            source = real_matrix([[np.nan if v is None else v for v in row] for row in source], "X")
        rows = self.matching(open_rows(source, **how))
        k, slabs = len(self.recipe.target), rows.slabs(self.recipe.reads)
        parts: list[tuple[Array, ...]]
        if interval is None:
            parts = [(self.predict_slab(slab),) for slab in slabs]
        else:
            limits = self.limits(interval, of)
            parts = [limits(slab) for slab in slabs]
        wide = 1 if interval is None else 3
        found = [np.concatenate([part[i] for part in parts] or [np.empty((0, k))]) for i in range(wide)]
        values = [f[:, 0] if k == 1 and not self.stacked else f for f in found]
        values = [tensor(v) if rows.native == "torch" else v for v in values]
        return values[0] if interval is None else Interval(*values)

    @property
    def interval_of(self) -> str:
        """What intervals are of, unasked."""
        return "unseen" if self.solution.penalised or self.recipe.sequence else "row"

    def limits(self, level: float, of: str | None = None) -> Callable[[Slab], tuple[Array, Array, Array]]:
        """What gives, of a slab, predictions (n, k) and their lower and upper limits: see `predict`."""
        of = of or self.interval_of
        if of not in ("row", "mean", "unseen"):
            raise UsageError(f"of={of!r} is not known. It is 'row', 'mean' or 'unseen'.")
        if of == "unseen":
            found = self.conformal
            if not isinstance(found, Conformal):
                raise UsageError(
                    f"There are no intervals of what was not seen: {found.reason}. Fit with folds, from "
                    "rows that can be read again."
                )
            return partial(self._unseen_slab, found, level)
        reach = self.reach(level)
        return lambda slab: self.interval_slab(slab, reach, of)

    def _unseen_slab(self, found: Conformal, level: float, slab: Slab) -> tuple[Array, Array, Array]:
        scores = self.validation
        assert isinstance(scores, Validation)
        guess = self.predict_slab(slab)
        X, _ = self.recipe.columns(slab)
        low, high = found.limits(predicted(X, self.recipe.filled, models_of(scores)), level)
        lost = np.isnan(guess)
        return guess, np.where(lost, np.nan, low), np.where(lost, np.nan, high)

    def reach(self, level: float) -> Array:
        """`t s` (k,): what an interval of this level reaches, times the root of 1 + h or h."""
        found = classical(self.solution, self.recipe.weight_kind)
        if not isinstance(found, Inference):
            way = "" if self.solution.penalised else " Fit with more rows or fewer columns."
            raise UsageError(f"There are no intervals: {found.reason}.{way}")
        variance = residual_variance(self.solution, self.recipe.weight_kind)
        return np.asarray(t_quantile(level, found.df) * np.sqrt(variance))

    def interval_slab(self, slab: Slab, reach: Array, of: str = "row") -> tuple[Array, Array, Array]:
        """Predictions (n, k) of one slab, and their lower and upper limits."""
        found = self._answer(slab)
        X = np.asarray(self.recipe.matrix(slab)[0], np.float64)
        if len(self.fills):
            X = np.where(np.isnan(X), self.fills, X)
        Z = whitened(self.solution, X)
        h = np.einsum("nr,nr->n", Z, Z)
        if self.recipe.weight_kind == "sampling":  # the unit of such weights says nothing
            h = h * self.solution.weight / self.solution.n
        half = np.sqrt(h + (of == "row"))[:, None] * reach
        return self._back(found), self._back(found - half), self._back(found + half)

    def predict_slab(self, slab: Slab) -> Array:
        """Predictions (n, k) of one slab."""
        return self._back(self._answer(slab))

    def _back(self, z: Array) -> Array:
        return z if self.recipe.scale is None else self.recipe.scale.back(z)

    def _answer(self, slab: Slab) -> Array:
        """What is predicted (n, k), of a target transformed as it was fitted."""
        X, left = self.recipe.columns(slab)
        if not isinstance(X, np.ndarray):  # as it is stored
            return self._predict_stored(X, left, slab)
        X = np.asarray(X, np.float64)
        gaps = np.isnan(X)
        if self.recipe.missing != "drop":
            self._refuse_gaps(left, gaps, slab)
        if gaps.any():
            X = np.where(gaps, self.fills if len(self.fills) else np.nan, X)
        if np.isinf(X).any():
            raise self._unpredictable(
                {name: np.isinf(x) for name, x in zip(self.names, X.T, strict=True)}, slab
            )
        found = self.solution.predict(X)
        for rows in left.values():
            found[rows] = np.nan
        return np.asarray(found)

    def _predict_stored(self, X: Any, left: Left, slab: Slab) -> Array:
        """The same of a CSR array; NaN where a row has nothing to be predicted from."""
        if self.recipe.missing != "drop":
            self._refuse_gaps(left, None, slab)
        found = np.asarray(X @ self.solution.coef.T + self.solution.intercept)
        odd = ~np.isfinite(found).all(axis=1)
        if odd.any() and self.recipe.missing != "drop":
            raise self._unpredictable({", ".join(self.recipe.reads): odd}, slab)
        for rows in left.values():
            found[rows] = np.nan
        return found

    def _refuse_gaps(self, left: Left, gaps: NDArray[np.bool_] | None, slab: Slab) -> None:
        bad: dict[str, Any] = {column: rows for (column, _), rows in left.items()}
        if gaps is not None and not len(self.fills):
            bad |= {name: rows for name, rows in zip(self.names, gaps.T, strict=True) if rows.any()}
        if bad:
            raise self._unpredictable(bad, slab)

    def _unpredictable(self, bad: Mapping[str, Any], slab: Slab) -> MissingError:
        """The error for rows without a number, or text, where the model reads one."""
        firsts = {name: int(np.argmax(rows)) for name, rows in bad.items() if rows.any()}
        name = min(firsts, key=lambda n: firsts[n])
        others = [policy for policy in ("drop", "mean") if policy != self.recipe.missing]
        return MissingError(
            f"Row {slab.first + firsts[name] + 1:,} has nothing that can be used in '{name}' "
            f"({plural(int(bad[name].sum()), 'such row')} of {slab.n:,} looked at), and the model was "
            f"fitted with missing='{self.recipe.missing}'. Fill the cells, or fit with missing="
            f"{listed(others, last='or')}."
        )

    def matching(self, rows: Rows) -> Rows:
        """`rows` if they have the columns that the model reads; a bare array goes by position."""
        wanted = tuple(self.recipe.reads)
        if isinstance(rows, ArrayRows):
            return self._placed(rows, wanted)
        for name in wanted:
            if name not in rows.names:
                raise DataError(
                    f"{rows.source} has no column '{name}', which the model reads. "
                    f"{did_you_mean(name, rows.names)} Rename or add it."
                )
        return rows

    def _placed(self, rows: ArrayRows, wanted: tuple[str, ...]) -> Rows:
        """A bare array with the names of the source's columns, or of those that the model reads."""
        for names in (self.columns, wanted):
            if len(rows.names) == len(names):
                return ArrayRows(rows.values, names, rows.source, native=rows.native)
        raise DataError(
            f"{rows.source} has {plural(len(rows.names), 'column')}; the model reads "
            f"{plural(len(wanted), 'column')}. An array needs them all, in their order (for one row, "
            "pass X[:1]). Check it."
        )

    def to_torch(self) -> Any:
        """A `torch.nn.Linear` (float64) with the same predictions from X (n, p), whose columns are `names`.

        What the recipe does before (levels, powers, sequences) has to be done before here too. Raises
        UsageError for a target that was transformed: a linear layer cannot turn predictions back.
        """
        if self.recipe.transformed:
            raise UsageError(
                f"The target was transformed ({self.recipe.transform}), and a linear layer cannot turn "
                "its predictions back. Fit without a transform, or use fit.predict."
            )
        import torch

        k, p = self.solution.coef.shape
        linear = torch.nn.Linear(p, k, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(tensor(self.solution.coef))
            linear.bias.copy_(tensor(self.solution.intercept))
        return linear

    # ---- tables ----

    def tidy(self, level: float = 0.95) -> Any:
        """One row a coefficient, in order, as a data frame: term, estimate, standard error, statistic (t),
        p_value, limits of the interval of this level, vif, and what became of it."""
        return to_frame(report_facts.coefficient_table(self, level), self.native)

    def glance(self) -> Any:
        """One row about the whole fit, as a data frame; always the same columns."""
        return to_frame(report_facts.glance(self.facts), self.native)

    def augment(self, source: Any, **how: Any) -> Any:
        """The rows as they came with `.fitted`, and `.resid` where the target is among them."""
        rows = self.matching(open_rows(source, **how))
        kinds = {**rows.kinds, **self.recipe.reads}
        batches = [self._augmented(slab, rows) for slab in rows.slabs(kinds)]
        tables = [pa.Table.from_batches([batch]) for batch in batches]
        whole = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
        made = native_table(whole, rows.native)
        index = getattr(source[0] if isinstance(source, tuple) else source, "index", None)
        if index is not None and not callable(index) and hasattr(made, "index"):
            made.index = index
        return made

    def _augmented(self, slab: Slab, rows: Rows) -> pa.RecordBatch:
        table, fitted = slab.table(), self.predict_slab(slab)
        columns, names = list(table.columns), list(table.schema.names)
        for j, target in enumerate(self.recipe.target):
            of = "" if len(self.recipe.target) == 1 else f".{target}"
            added = {f".fitted{of}": fitted[:, j]}
            if target in rows.names and rows.kinds[target] in ("number", "boolean"):
                added[f".resid{of}"] = slab.matrix((target,))[:, 0] - fitted[:, j]
            columns += [arrow.numbers(values) for values in added.values()]
            names += added
        return pa.RecordBatch.from_arrays(columns, names=names)

    # ---- telling ----

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that is told of the fit, in one dictionary: the text, the report and the JSON."""
        return report_facts.facts(self)

    def summary(self) -> str:
        """The text that the command line prints."""
        return text.summary(self.facts)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        targets = ", ".join(self.recipe.target)
        return f"Fit({targets} on {plural(len(self.names), 'feature')}, {plural(self.solution.n, 'row')})"

    def _as_came(self, value: Array) -> Any:
        return tensor(value) if self.native == "torch" else value


def _one(values: Array) -> Any:
    """The only row of (1, ...), or all rows where there are several."""
    return values[0] if len(values) == 1 else values


def tensor(values: Array) -> Any:
    """The values as a tensor of their own."""
    import torch

    return torch.from_numpy(np.array(values))

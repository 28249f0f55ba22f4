"""A plugin for pytest: scikit-learn's tests of linear models meet our classes instead of its own.

While a test module of scikit-learn is imported, the seven names of `NAMES` in `sklearn.linear_model` are
ours; before and afterwards they are scikit-learn's, so that all inside scikit-learn stays as it is. The
`fit` of our classes notes that it was called: a test that fits none of them says nothing about us.

`CONFORMANCE_OF=sklearn` puts empty subclasses of scikit-learn's own classes in the place of ours.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

NAMES = ("ElasticNet", "ElasticNetCV", "Lasso", "LassoCV", "LinearRegression", "Ridge", "RidgeCV")
MODULES = (
    "test_base.py",
    "test_common.py",
    "test_coordinate_descent.py",
    "test_ridge.py",
    "test_sparse_coordinate_descent.py",
)
EXCLUDED = Path(__file__).with_name("excluded.txt")
FAILING = Path(__file__).with_name("failing.txt")

# scikit-learn's test modules import these, and these import the seven names: theirs must stay theirs.
BEFORE = ("sklearn.utils.estimator_checks", "sklearn.utils._test_common.instance_generator")


@dataclass(frozen=True)
class Tried:
    """What became of one test."""

    test: str  # the node id from the file's name on
    outcome: str  # passed, failed, skipped, xfailed or xpassed
    fitted: bool  # one of our classes
    pattern: str  # of excluded.txt, or ""

    @property
    def applies(self) -> bool:
        """A test that fails is ours to explain, even where it came to no `fit`."""
        return self.fitted or self.outcome == "failed"

    @property
    def passed(self) -> bool:
        return self.outcome in ("passed", "xpassed")


# ---- which classes, which tests ----


def classes(of: str) -> dict[str, type]:
    """The seven classes under test, by name; their `fit` is their own."""
    if of == "sklearn":
        theirs = importlib.import_module("sklearn.linear_model")
        return {name: type(name, (getattr(theirs, name),), {"__module__": __name__}) for name in NAMES}
    if of != "leastwise":
        raise pytest.UsageError(
            f"CONFORMANCE_OF={of} is neither leastwise nor sklearn. Set one, or unset it."
        )
    leastwise = importlib.import_module("leastwise")
    missing = [name for name in NAMES if name not in leastwise.__all__]
    if missing:
        raise pytest.UsageError(f"leastwise does not export {', '.join(missing)}. All seven are needed.")
    return {name: getattr(leastwise, name) for name in NAMES}


def patterns(text: str) -> dict[str, str]:
    """Pattern -> reason, from the lines of a list. Raises UsageError where a reason is missing.

    >>> patterns("# a remark\\ntest_ridge.py::test_n_iter  # counts steps")
    {'test_ridge.py::test_n_iter': 'counts steps'}
    """
    found = {}
    for line in text.splitlines():
        pattern, _, reason = (part.strip() for part in line.partition("#"))
        if pattern and not reason:
            raise pytest.UsageError(f"{pattern} is listed without a reason. Write one behind a #.")
        if pattern:
            found[pattern] = reason
    return found


def short(nodeid: str) -> str:
    """The node id from the file's name on.

    >>> short("sklearn/linear_model/tests/test_ridge.py::test_n_iter")
    'test_ridge.py::test_n_iter'
    """
    path, colons, rest = nodeid.partition("::")
    return path.rpartition("/")[2] + colons + rest


def matching(test: str, known: Sequence[str]) -> str:
    """The first pattern that a test has, or "". * and ? are wild; brackets are not: ids are full of them.

    >>> matching("test_ridge.py::test_dtype_match[svd]", ["test_ridge.py::test_*[svd]"])
    'test_ridge.py::test_*[svd]'
    """
    return next((p for p in known if fnmatchcase(test, p.replace("[", "[[]"))), "")


def noting(fit: Callable[..., Any], fitted: list[str], name: str) -> Callable[..., Any]:
    """`fit`, which writes its class's name down before it fits."""

    @functools.wraps(fit)
    def noted(*args: Any, **kwargs: Any) -> Any:
        fitted.append(name)
        return fit(*args, **kwargs)

    return noted


# ---- the hooks ----


class Conformance:
    """Puts the classes in, watches each test, counts in the end."""

    def __init__(
        self, stand_ins: dict[str, type], excluded: dict[str, str], failing: dict[str, str]
    ) -> None:
        self.stand_ins, self.excluded, self.failing = stand_ins, excluded, failing
        self.fitted: list[str] = []  # by the test that is running
        self.tried: dict[str, Tried] = {}
        own = {name: one.fit for name, one in stand_ins.items()}  # all, before a parent's is replaced
        for name, one in stand_ins.items():
            one.fit = noting(own[name], self.fitted, name)

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        theirs = importlib.import_module("sklearn.linear_model")
        kept = {name: getattr(theirs, name) for name in NAMES}
        try:
            for name, one in self.stand_ins.items():
                setattr(theirs, name, one)
            yield
        finally:
            for name, one in kept.items():
                setattr(theirs, name, one)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        if not (isinstance(collector, pytest.Module) and collector.path.name in MODULES):
            return (yield)
        with self.standing_in():
            return (yield)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if pattern := matching(short(item.nodeid), tuple(self.excluded)):
                item.add_marker(
                    pytest.mark.xfail(reason=f"excluded: {self.excluded[pattern]}", strict=False)
                )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        self.fitted.clear()  # before the setup: a skipped test has none of its own
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report = yield
        report.user_properties.append(("fitted", bool(self.fitted)))  # goes along from a worker
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xpassed" if report.outcome == "passed" else "xfailed"
        test, fitted = short(report.nodeid), ("fitted", True) in map(tuple, report.user_properties)
        self.tried[report.nodeid] = Tried(test, outcome, fitted, matching(test, tuple(self.excluded)))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("conformance")
        for line in summary(list(self.tried.values()), self.excluded):
            terminalreporter.write_line(line)
        for test, (known, _) in self.surprises().items():
            what = "is listed in failing.txt and passes: take it out" if known else "fails"
            terminalreporter.write_line(f"surprise: {test} {what}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """All that fails is known, and all that is known fails: then there is nothing new."""
        if exitstatus == pytest.ExitCode.TESTS_FAILED and not self.surprises():
            session.exitstatus = pytest.ExitCode.OK
        elif exitstatus == pytest.ExitCode.OK and self.surprises():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def surprises(self) -> dict[str, tuple[bool, bool]]:
        """Tests of which failing.txt does not say what became of them: whether it lists them, and whether
        they failed."""
        judged = [one for one in self.tried.values() if not one.pattern]
        found = {one.test: (one.test in self.failing, one.outcome == "failed") for one in judged}
        return {test: (known, failed) for test, (known, failed) in found.items() if known != failed}


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    for module in BEFORE:
        importlib.import_module(module)
    of = os.environ.get("CONFORMANCE_OF", "leastwise")
    excluded, failing = (patterns(path.read_text(encoding="utf-8")) for path in (EXCLUDED, FAILING))
    plugin = Conformance(classes(of), excluded, failing if of == "leastwise" else {})
    config.pluginmanager.register(plugin)


# ---- the counting ----


def summary(tried: Sequence[Tried], excluded: dict[str, str]) -> list[str]:
    """The table by module, then the exclusions with what became of them.

    applicable = passed + failed + let off + excluded. Let off: skipped, or expected to fail, by
    scikit-learn's own test after it had fitted one of ours.
    """
    heads = ("collected", "applicable", "passed", "failed", "let off", "excluded")
    lines = [f"{'':34}" + "".join(f"{head:>11}" for head in heads)]
    for module in (*MODULES, "all"):
        mine = [one for one in tried if module == "all" or one.test.startswith(f"{module}::")]
        lines.append(f"{module:34}" + "".join(f"{count:11,}" for count in counts(mine)))
    lines += ["", "The tests that are collected but not applicable fit none of ours."]
    for pattern in excluded:
        its = [one for one in tried if one.pattern == pattern]
        passing = sum(one.passed for one in its)
        lines.append(f"excluded: {pattern} (tests: {len(its)}, passing: {passing})")
    return lines


def counts(tried: Sequence[Tried]) -> tuple[int, ...]:
    """Collected, applicable, passed, failed, let off, excluded."""
    applicable = [one for one in tried if one.applies]
    judged = [one for one in applicable if not one.pattern]
    passed = sum(one.passed for one in judged)
    failed = sum(one.outcome == "failed" for one in judged)
    out = len(applicable) - len(judged)
    return len(tried), len(applicable), passed, failed, len(judged) - passed - failed, out

"""Run scikit-learn's own tests, and its checks of an estimator, on our classes.

    python -m tests.conformance.run                          # further words go to pytest: -n 2 -k gcv
    CONFORMANCE_OF=sklearn python -m tests.conformance.run   # the same on scikit-learn's own classes

The exit status is 1 where a test fails that neither excluded.txt nor failing.txt names, where one of the
latter passes, or where a check of an estimator fails that scikit-learn's own class of that name passes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import sklearn
from sklearn import linear_model
from sklearn.utils.estimator_checks import check_estimator

import leastwise

from .plugin import MODULES, NAMES

THEIRS = {name: name for name in NAMES} | {"GradientDescentRegressor": "SGDRegressor"}


def tests(words: list[str]) -> int:
    """pytest's exit status on scikit-learn's test modules, with none of our own settings of pytest."""
    package = Path(sklearn.__file__).parent
    apart = ["-c", os.devnull, "--rootdir", str(package.parent), "--confcutdir", str(package)]
    plugins = ["-p", "no:cacheprovider", "-p", f"{__package__}.plugin"]
    looks = ["-q", "--tb=no", "--disable-pytest-warnings", "--continue-on-collection-errors"]
    files = [str(package / "linear_model" / "tests" / module) for module in MODULES]
    command = [sys.executable, "-m", "pytest", *apart, *plugins, *looks, "-n", "auto", *words, *files]
    wide = {"COLUMNS": "200"} | os.environ  # room for what a failure says behind its name
    return subprocess.run(command, env=wide, check=False).returncode


def failures(estimator: object) -> dict[str, str]:
    """Check -> what it said, for each of scikit-learn's checks that this estimator fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None)
    return {one["check_name"]: str(one["exception"]) for one in results if one["status"] == "failed"}


def worse(name: str) -> list[str]:
    """The checks that our class fails and scikit-learn's passes, a line each."""
    theirs = failures(getattr(linear_model, THEIRS[name])())
    mine = failures(getattr(leastwise, name)())
    print(f"{name}: fails {len(mine)}, scikit-learn's {THEIRS[name]} {len(theirs)}")
    return [
        f"  {check}: {said.strip().splitlines()[0]}" for check, said in mine.items() if check not in theirs
    ]


def checks(names: list[str]) -> int:
    """1 where a class of ours fails a check that scikit-learn's passes."""
    print("\ncheck_estimator")
    found = 0
    for name in names:
        lines = worse(name)
        found += len(lines)
        print(*lines, sep="\n", end="\n" if lines else "")
    return int(found > 0)


def main(words: list[str]) -> int:
    failed = tests(words)
    ours = os.environ.get("CONFORMANCE_OF", "leastwise") == "leastwise"
    names = [name for name in THEIRS if ours or name not in NAMES]
    return int(failed != 0) | checks([name for name in names if name in leastwise.__all__])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

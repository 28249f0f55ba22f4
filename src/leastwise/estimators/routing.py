"""What else is passed to `fit` of a class that validates across folds, and which folds it gives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sklearn.model_selection import check_cv
from sklearn.utils._metadata_requests import _raise_for_params, _routing_enabled
from sklearn.utils.metadata_routing import get_routing_for_object, process_routing

from leastwise.errors import UsageError


def routed(owner: Any, params: dict[str, Any], sample_weight: Any) -> Any:
    """What goes where: `.splitter.split`, and where the owner has one, `.scorer.score`.

    Without metadata routing `groups` goes to a splitter that deals by groups; anything else is refused in
    scikit-learn's words.
    """
    weight = {} if sample_weight is None else {"sample_weight": sample_weight}
    if _routing_enabled():
        return process_routing(owner, "fit", **params, **weight)
    try:
        _raise_for_params(params, owner, "fit", allow=["groups"] if wants_groups(owner.cv) else None)
    except ValueError as said:
        if set(params) != {"groups"}:
            raise
        hint = (
            f"cv={owner.cv!r} does not deal rows by groups. Give cv=GroupKFold(5), and nothing need be set."
        )
        raise UsageError(f"{hint} ({said})") from None
    return SimpleNamespace(splitter=SimpleNamespace(split=params), scorer=SimpleNamespace(score=weight))


def wants_groups(cv: Any) -> bool:
    """Whether a splitter deals rows by groups."""
    if not hasattr(cv, "split"):
        return False
    requests = getattr(get_routing_for_object(cv), "split", None)
    return bool(requests and requests.requests.get("groups"))


def splits_of(cv: Any, X: Any, y: Any, params: dict[str, Any]) -> list[tuple[Any, Any]]:
    """(train, test) of each fold; `cv` as scikit-learn takes it."""
    return list(check_cv(cv).split(X, y, **params))

"""`--filter` of the verbs that list, prune and watch: lists of values by name.

Docker's rules, common to all of them: the values of one name are alternatives, but all labels
must be there, and all names must hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.go_values import parse_bool
from dockmagic_runtime.model.times import parse_moment

Filters = Mapping[str, Sequence[str]]
PRUNE: Final = frozenset(["label", "label!", "until"])  # of containers, images and networks


def check(filters: Filters, known: Collection[str]) -> None:
    """Raises InvalidInput for a filter that the verb does not have."""
    for name in filters:
        if name not in known:
            raise InvalidInput(
                f"invalid filter '{name}'", hint=f"known: {', '.join(sorted(known))}"
            )


def has_label(labels: Mapping[str, str], text: str) -> bool:
    """Whether `labels` has `KEY`, or `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)


def matches_name(name: str, pattern: str) -> bool:
    """Whether the pattern is the name, or a regular expression that fits anywhere in it."""
    try:
        return name == pattern or re.search(pattern, name) is not None
    except re.error:
        return False


def boolean(filters: Filters, name: str) -> bool | None:
    """The value of a filter that is true or false; None when it was not given.

    Raises InvalidInput for other values, and for both at once.
    """
    values = sorted(set(filters.get(name, ())))
    if not values:
        return None
    wrong = InvalidInput(f"invalid filter '{name}=[{' '.join(values)}]'")
    if len(values) > 1:
        raise wrong
    try:
        return parse_bool(values[0])
    except ValueError:
        raise wrong from None


def prunable(filters: Filters) -> Callable[[float, Mapping[str, str]], bool]:
    """A test of (created, labels) for the prune verbs. Raises InvalidInput."""
    until = filters.get("until", ())
    if len(until) > 1:
        raise InvalidInput("more than one until filter specified")
    try:
        limit = parse_moment(until[0]) if until else float("inf")
    except ValueError as error:
        raise InvalidInput(str(error)) from None

    def test(created: float, labels: Mapping[str, str]) -> bool:
        return (
            created < limit
            and all(has_label(labels, text) for text in filters.get("label", ()))
            and not any(has_label(labels, text) for text in filters.get("label!", ()))
        )

    return test

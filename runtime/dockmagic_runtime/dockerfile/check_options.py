"""`# check=skip=…;error=true;experimental=…`: which build checks count, and for how much."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from dockmagic_runtime.dockerfile.errors import Refusal, near
from dockmagic_runtime.model.go_values import parse_bool

EXPERIMENTAL: Final = frozenset(["CopyIgnoredFile", "InvalidDefinitionDescription"])
_ALL: Final = "all"
_OPTIONS: Final = ("skip", "error", "experimental")


class CheckOptions(Struct, frozen=True):
    """Names of rules are Docker's, in Docker's capitals; `all` stands for every one."""

    skipped: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    @classmethod
    def parse(cls, text: str) -> CheckOptions:
        """Raises Refusal, which the caller gives a place."""
        given: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or name not in _OPTIONS:
                raise Refusal(f'invalid check option "{name}"', 0, near(name, _OPTIONS))
            given[name] = value
        return cls(
            _names(given.get("skip", "")),
            _names(given.get("experimental", "")),
            _truth(given.get("error", "false")),
        )

    def counts(self, rule: str) -> bool:
        """Whether findings of the rule are reported."""
        if rule in self.skipped or _ALL in self.skipped:
            return False
        if rule not in EXPERIMENTAL:
            return True
        return rule in self.experimental or _ALL in self.experimental


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _truth(text: str) -> bool:
    try:
        return parse_bool(text)
    except ValueError as error:
        raise Refusal(f'failed to parse check option "error={text}": {error}') from None

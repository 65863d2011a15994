"""Which capabilities a container gets: Docker's default set, changed by --cap-add, --cap-drop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux import capabilities
from dockmagic_runtime.model.suggest import did_you_mean

DEFAULT: Final = frozenset(
    {
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    }
)
_ALL: Final = "ALL"


def resolve(
    add: Iterable[str],
    drop: Iterable[str],
    privileged: bool,
    *,
    available: frozenset[str] | None = None,
) -> frozenset[str]:
    """The container's bounding, permitted and effective set, with CAP_ prefixes.

    The order of the flags does not matter: what is both added and dropped is added, unless it
    is added only as part of ALL. `available` is what this process may hand on, and by default
    asked of the kernel; a default capability that is not in it is left out, one that was asked
    for by name is an error.
    """
    present = capabilities.available() if available is None else available
    if privileged:
        return present
    added = frozenset(_canonical(name, present) for name in add)
    dropped = frozenset(_canonical(name, present) for name in drop)
    if _ALL in added:
        return present - dropped
    kept = frozenset[str]() if _ALL in dropped else (DEFAULT & present) - dropped
    return kept | added


def check(add: Iterable[str], drop: Iterable[str]) -> None:
    """Raises InvalidInput for a name that is no capability, or not one that this kernel has."""
    for field, names in (("CapAdd", add), ("CapDrop", drop)):
        for name in names:
            try:
                _canonical(name, capabilities.available())
            except InvalidInput as error:
                raise InvalidInput(f"invalid {field}: {error.message}", hint=error.hint) from None


def _canonical(name: str, present: frozenset[str]) -> str:
    upper = name.upper()
    if upper == _ALL:
        return upper
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in capabilities.NAMES:
        raise InvalidInput(f'unknown capability: "{full}"', hint=_near(full))
    if full not in present:
        raise InvalidInput(
            "capability not supported by your kernel or not available in the current "
            f'environment: "{full}"'
        )
    return full


def _near(name: str) -> str:
    short = [full.removeprefix("CAP_") for full in capabilities.NAMES]
    return did_you_mean(name.removeprefix("CAP_"), short, otherwise="see capabilities(7)")

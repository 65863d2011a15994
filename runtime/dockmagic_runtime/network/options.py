"""Driver options of a bridge network: `-o com.docker.network.…`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.go_values import parse_bool
from dockmagic_runtime.network.ipam.pools import packed

_BRIDGE = "com.docker.network.bridge."
NAME = f"{_BRIDGE}name"
_ICC = f"{_BRIDGE}enable_icc"
_MASQUERADE = f"{_BRIDGE}enable_ip_masquerade"
_HOST_BINDING = f"{_BRIDGE}host_binding_ipv4"
_MTUS = ("com.docker.network.driver.mtu", f"{_BRIDGE}mtu")
_PREFIX = "com.docker.network.container_iface_prefix"

_INTERFACE = r"[^\s/:]{1,15}"


def _boolean(key: str, text: str) -> None:
    try:
        parse_bool(text)
    except ValueError as error:
        raise InvalidInput(f"failed to parse {key} value: {text} ({error})") from None


def _mtu(key: str, text: str) -> None:
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise InvalidInput(
            f'failed to parse {key} value: {text} (strconv.Atoi: parsing "{text}": invalid syntax)'
        )
    if int(text) < 0:
        raise InvalidInput(f"invalid MTU number: {text}")
    if not 68 <= int(text) <= 65535:
        raise InvalidInput(f"invalid value for {key}: {text}", hint="a number from 68 to 65535")


def _address(key: str, text: str) -> None:
    try:
        packed(text)
    except OSError:
        raise InvalidInput(f"invalid value for {key}: {text} is no IP address") from None


def _interface(key: str, text: str) -> None:
    if not re.fullmatch(_INTERFACE, text) or text in (".", ".."):
        raise InvalidInput(f"invalid value for {key}: {text}", hint="at most 15 characters")


def _prefix(key: str, text: str) -> None:
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]{0,11}", text) or text == "lo":
        raise InvalidInput(f"invalid value for {key}: {text}", hint="at most 12 characters")


_KNOWN: dict[str, Callable[[str, str], None]] = {
    NAME: _interface,
    _ICC: _boolean,
    _MASQUERADE: _boolean,
    _HOST_BINDING: _address,
    _PREFIX: _prefix,
    **dict.fromkeys(_MTUS, _mtu),
}


def check(options: Mapping[str, str]) -> None:
    """Raises InvalidInput for a value that cannot be, Unsupported for an option that is not."""
    for key, text in options.items():
        if key not in _KNOWN:
            raise Unsupported(
                f"the driver option {key} is not supported", hint=f"known are {', '.join(_KNOWN)}"
            )
        _KNOWN[key](key, text)


def icc(options: Mapping[str, str]) -> bool:
    """Whether containers on the network reach each other directly."""
    return parse_bool(options.get(_ICC, "true"))


def masquerade(options: Mapping[str, str]) -> bool:
    return parse_bool(options.get(_MASQUERADE, "true"))


def host_binding(options: Mapping[str, str]) -> str:
    """The host address of ports that are published without one; empty for all."""
    return options.get(_HOST_BINDING, "")


def mtu(options: Mapping[str, str]) -> int:
    """0 for the kernel's choice."""
    return next((int(options[key]) for key in _MTUS if key in options), 0)


def interface_prefix(options: Mapping[str, str]) -> str:
    return options.get(_PREFIX, "eth")

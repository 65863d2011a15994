"""`--security-opt seccomp=FILE`: a profile in Docker's JSON format becomes a policy.

What a rule includes and excludes (capabilities, architectures, kernel) is decided here, so that a
policy holds only what applies. Unknown keys are ignored, as Docker does; a known key with a value
of the wrong kind is an error that names it.
"""

from __future__ import annotations

import errno
import json
import re
from typing import Any, Final, TypeVar

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux import seccomp
from dockmagic_runtime.linux.kernel_version import running_kernel
from dockmagic_runtime.linux.seccomp import Comparison, Condition, Policy, Rule

_ARGUMENTS: Final = 6
_ACTIONS: Final = {
    "SCMP_ACT_ALLOW": seccomp.ALLOW,
    "SCMP_ACT_KILL": seccomp.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": seccomp.KILL_THREAD,
    "SCMP_ACT_LOG": seccomp.LOG,
    "SCMP_ACT_TRAP": seccomp.TRAP,
}
_ACTIONS_WITH_ERRNO: Final = {
    "SCMP_ACT_ERRNO": seccomp.errno_action(0),
    "SCMP_ACT_TRACE": seccomp.TRACE,
}
_COMPARISONS: Final = {f"SCMP_CMP_{kind.value}": kind for kind in Comparison}
_SERVED_ARCHITECTURES: Final = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}
_DOCKER_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64"}

Value = TypeVar("Value")


def parse_profile(
    text: str | bytes,
    capabilities: frozenset[str],
    architecture: str,
    *,
    kernel: tuple[int, int] | None = None,
) -> Policy:
    """The policy of a profile for a container with `capabilities` on `architecture`."""
    try:
        profile = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(profile, dict):
        raise InvalidInput("Decoding seccomp profile failed: it is not a JSON object")
    host = (capabilities, _DOCKER_NAMES[architecture], kernel or running_kernel())
    rules: list[Rule] = []
    for entry in _list_of(profile, "syscalls", dict):
        rules += _rules(entry) if _applies(entry, *host) else []
    return Policy(
        default=_action(profile, "defaultAction", "defaultErrnoRet"),
        rules=tuple(rules),
        architectures=_architectures(profile, architecture),
    )


def _field(entry: dict[str, Any], key: str, kind: type[Value], default: Value) -> Value:
    value = entry.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise InvalidInput(f"seccomp profile: {key} is not of the right kind: {value!r}")
    return value


def _list_of(entry: dict[str, Any], key: str, kind: type[Value]) -> list[Value]:
    values: list[Any] = _field(entry, key, list, [])
    for value in values:
        if not isinstance(value, kind):
            raise InvalidInput(f"seccomp profile: {key} has an entry that does not fit: {value!r}")
    return values


def _architectures(profile: dict[str, Any], native: str) -> tuple[str, ...]:
    """The native architecture and those of its relatives that the profile names. x32 may be named
    and is refused all the same, as are all others: this machine cannot run them."""
    listed = _list_of(profile, "architectures", str)
    mapped = _list_of(profile, "archMap", dict)
    if listed and mapped:
        raise InvalidInput(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    for entry in mapped:
        if _SERVED_ARCHITECTURES.get(_field(entry, "architecture", str, "")) == native:
            listed = _list_of(entry, "subArchitectures", str)
    named = {_SERVED_ARCHITECTURES.get(name) for name in listed}
    return tuple(name for name in seccomp.SERVED[native] if name == native or name in named)


def _applies(
    entry: dict[str, Any],
    capabilities: frozenset[str],
    architecture: str,
    kernel: tuple[int, int],
) -> bool:
    includes: dict[str, Any] = _field(entry, "includes", dict, {})
    excludes: dict[str, Any] = _field(entry, "excludes", dict, {})
    both = (includes, excludes)
    wanted, unwanted = (_list_of(side, "arches", str) for side in both)
    needed, forbidden = (frozenset(_list_of(side, "caps", str)) for side in both)
    since, until = (_field(side, "minKernel", str, "") for side in both)
    return (
        (not wanted or architecture in wanted)
        and architecture not in unwanted
        and needed <= capabilities
        and not forbidden & capabilities
        and (not since or kernel >= _version(since))
        and (not until or kernel < _version(until))
    )


def _version(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)\.(\d+)", text)
    if not match:
        raise InvalidInput(f'seccomp profile: invalid kernel version: "{text}"')
    return int(match[1]), int(match[2])


def _rules(entry: dict[str, Any]) -> list[Rule]:
    names = _names(entry)
    action = _action(entry, "action", "errnoRet")
    conditions = tuple(map(_condition, _list_of(entry, "args", dict)))
    if len({condition.index for condition in conditions}) < len(conditions):
        # libseccomp takes one condition an argument, so runc makes alternatives of them
        return [Rule(names=names, action=action, conditions=(each,)) for each in conditions]
    return [Rule(names=names, action=action, conditions=conditions)]


def _names(entry: dict[str, Any]) -> tuple[str, ...]:
    name, names = _field(entry, "name", str, ""), _list_of(entry, "names", str)
    if name and names:
        raise InvalidInput(
            "both 'name' and 'names' are specified in the seccomp profile, "
            "use either 'name' or 'names'"
        )
    if not name and not names:
        raise InvalidInput("seccomp profile: an entry of 'syscalls' names no call")
    return tuple(names) or (name,)


def _action(entry: dict[str, Any], key: str, errno_key: str) -> int:
    name = _field(entry, key, str, "")
    if name in _ACTIONS:
        return _ACTIONS[name]
    if name in _ACTIONS_WITH_ERRNO:
        number = _field(entry, errno_key, int, errno.EPERM)
        if not 0 <= number <= 0xFFFF:
            raise InvalidInput(f"seccomp profile: {errno_key} {number} is not an error number")
        return _ACTIONS_WITH_ERRNO[name] | number
    if name == "SCMP_ACT_NOTIFY":
        raise InvalidInput("seccomp profile: SCMP_ACT_NOTIFY is not supported: no agent answers")
    raise InvalidInput(f"seccomp profile: {key} is not an action: {name!r}")


def _condition(entry: dict[str, Any]) -> Condition:
    index, value, second = (_field(entry, key, int, 0) for key in ("index", "value", "valueTwo"))
    name = _field(entry, "op", str, "")
    if name not in _COMPARISONS:
        raise InvalidInput(f"seccomp profile: op is not a comparison: {name!r}")
    if not 0 <= index < _ARGUMENTS:
        raise InvalidInput(f"seccomp profile: a call has no argument {index}")
    if not (0 <= value < 1 << 64 and 0 <= second < 1 << 64):
        raise InvalidInput(f"seccomp profile: {value}, {second} do not fit into 64 bits")
    comparison = _COMPARISONS[name]
    if comparison is Comparison.MASKED_EQ:  # there `value` is the mask
        return Condition(index=index, comparison=comparison, mask=value, value=second)
    return Condition(index=index, comparison=comparison, value=value)

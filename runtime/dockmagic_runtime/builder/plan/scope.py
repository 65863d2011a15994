"""The variables of one stage, and what an instruction looks like with their values.

As with BuildKit, ENV and ARG share one list, and whichever is set last wins. An ARG counts from
its line on: its value is the build argument's, else its own default, else that of the ARG of this
name before the first FROM. A stage that begins with another one inherits both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.expand import expand, expand_document, expand_fields

# may be given without an ARG, and count for neither cache nor history
PROXIES: Final = tuple(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)
Kind = TypeVar("Kind", bound=i.Instruction)


class Variables(dict[str, str]):
    """Names and values, which remembers the names that were looked up and not there."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.missing: set[str] = set()

    def get(self, key: str, default: object = None) -> str | None:  # type: ignore[override]
        if key not in self:
            self.missing.add(key)
            return None
        return self[key]


class Scope(Struct):
    """The variables of a stage so far. `outer` are the ARGs before the first FROM, and those
    that are there without being given."""

    build_args: Mapping[str, str]
    outer: Mapping[str, str]
    escape: str = "\\"
    values: dict[str, str] = field(default_factory=dict)
    declared: dict[str, str | None] = field(default_factory=dict)  # ARGs, None without a value
    used: set[str] = field(default_factory=set)

    def inherited(self) -> Scope:
        """For a stage that begins with this one."""
        return replace(
            self, values=dict(self.values), declared=dict(self.declared), used=set(self.used)
        )

    def set_env(self, env: Iterable[str]) -> None:
        """Takes in ENV, as `NAME=value`."""
        self.values.update(entry.partition("=")[::2] for entry in env)

    def declare(self, arg: i.Arg) -> tuple[i.Arg, set[str]]:
        """Takes an ARG in; the instruction with the values it got, and the names its defaults
        have looked up in vain."""
        pairs, missing = [], set()
        for pair in arg.pairs:
            variables = self.variables()
            name = expand(pair.name, variables, self.escape)
            value = self._value(name, pair.value, variables)
            self.declared[name] = value
            if value is not None:
                self.values[name] = value
            pairs.append(i.Pair(name, value))
            missing |= variables.missing
        return replace(arg, pairs=tuple(pairs)), missing - self.declared.keys()

    def _value(self, name: str, default: str | None, variables: Variables) -> str | None:
        """A default that is not used is not expanded: `${V:?}` in it is no mistake."""
        self.used.add(name)
        if name in self.build_args:
            return self.build_args[name]
        if default is not None:
            return expand(default, variables, self.escape)
        return self.outer.get(name)

    def arguments(self) -> tuple[str, ...]:
        """The declared ARGs in order, each as `NAME=value` with the value it has now."""
        return tuple(
            f"{name}={self.values.get(name, value or '')}" for name, value in self.declared.items()
        )

    def proxies(self) -> dict[str, str]:
        return {name: self.build_args[name] for name in PROXIES if name in self.build_args}

    def variables(self) -> Variables:
        return Variables(self.values)

    def undefined(self, variables: Variables) -> set[str]:
        """The names that were looked up and are neither set nor declared."""
        return variables.missing - self.declared.keys()

    def expanded(self, instruction: Kind, variables: Mapping[str, str]) -> Kind:
        """The instruction with values for variables, where Docker expands them."""
        fields = _Expander(variables, self.escape).fields(instruction)
        return replace(instruction, **fields) if fields else instruction


class _Expander:
    def __init__(self, variables: Mapping[str, str], escape: str) -> None:
        self._variables = variables
        self._escape = escape

    def _one(self, text: str) -> str:
        return expand(text, self._variables, self._escape)

    def _all(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(self._one, texts))

    def fields(self, instruction: i.Instruction) -> dict[str, Any]:
        match instruction:
            case i.Env() | i.Label():
                pairs = (
                    i.Pair(self._one(pair.name), self._one(pair.value or ""))
                    for pair in instruction.pairs
                )
                return {"pairs": tuple(pairs), "legacy": False}
            case i.Copy() | i.Add():
                return self._transfer(instruction)
            case i.Expose():
                words = (
                    expand_fields(port, self._variables, self._escape) for port in instruction.ports
                )
                return {"ports": tuple(port for fields in words for port in fields)}
            case i.Volume():
                return {"paths": self._all(instruction.paths)}
        return self._single(instruction)

    def _single(self, instruction: i.Instruction) -> dict[str, Any]:
        match instruction:
            case i.Workdir():
                return {"path": self._one(instruction.path)}
            case i.User():
                return {"user": self._one(instruction.user)}
            case i.StopSignal():
                return {"signal": self._one(instruction.signal)}
        return {}

    def _transfer(self, transfer: i.Copy | i.Add) -> dict[str, Any]:
        """Marks of heredocs stay as they are: they are names of contents, not paths."""
        heredocs = tuple(
            replace(heredoc, content=expand_document(heredoc.data, self._variables, self._escape))
            if heredoc.expand
            else heredoc
            for heredoc in transfer.heredocs
        )
        fields: dict[str, Any] = {
            "heredocs": heredocs,
            "sources": tuple(
                source if transfer.heredoc(source) else self._one(source)
                for source in transfer.sources
            ),
            "destination": self._one(transfer.destination),
            "chown": self._one(transfer.chown),
            "chmod": self._one(transfer.chmod),
            "excludes": self._all(transfer.excludes),
        }
        if isinstance(transfer, i.Add):
            fields["checksum"] = self._one(transfer.checksum)
        return fields

"""How each instruction changes an image's config: the `config` object of the OCI image spec.

The object is kept as the plain JSON it is in the image, so that fields we know nothing of survive
from the base image. It is never changed in place: every step has its own.
"""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.ports import parse_ports
from dockmagic_runtime.errors import InvalidInput

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL: Final = ("/bin/sh", "-c")
_REALTIME: Final = re.compile(r"RTMIN(\+\d{1,2})?|RTMAX(-\d{1,2})?")
Json = dict[str, Any]


class StageConfig(Struct, frozen=True):
    """An image's config while its stage is being built."""

    json: Json = field(default_factory=dict)
    author: str = ""
    has_cmd: bool = False  # set in this stage, so that ENTRYPOINT leaves it alone

    @property
    def env(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.json.get("Env") or ())

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.json.get("Shell") or DEFAULT_SHELL)

    @property
    def working_dir(self) -> str:
        return str(self.json.get("WorkingDir") or "/")

    @property
    def user(self) -> str:
        return str(self.json.get("User") or "")

    @property
    def triggers(self) -> tuple[str, ...]:
        return tuple(self.json.get("OnBuild") or ())

    def with_values(self, **values: Any) -> StageConfig:
        return replace(self, json={**self.json, **values})

    def without_triggers(self) -> StageConfig:
        """ONBUILD fires once: the image that it fired in does not hand it on."""
        return replace(self, json={k: v for k, v in self.json.items() if k != "OnBuild"})

    def path(self, path: str) -> str:
        """`path` as COPY and mounts make it absolute, cleaned as Go's path.Join does."""
        joined = posixpath.normpath(posixpath.join("/", self.working_dir, path))
        return "/" + joined.lstrip("/")

    def workdir(self, path: str) -> str:
        """`path` as WORKDIR keeps it: an absolute one stays as it is written."""
        if path.startswith("/"):
            return path
        return self.path(path)

    def with_path(self) -> StageConfig:
        """A base image without PATH gets the usual one."""
        if "PATH" in self.env:
            return self
        return self.with_values(Env=[*(self.json.get("Env") or ()), f"PATH={DEFAULT_PATH}"])

    def with_labels(self, labels: dict[str, str]) -> StageConfig:
        if not labels:
            return self
        return self.with_values(Labels={**(self.json.get("Labels") or {}), **labels})


def scratch() -> StageConfig:
    """What `FROM scratch` begins with, as in Docker."""
    return StageConfig({"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"})


def apply(instruction: i.Instruction, config: StageConfig) -> StageConfig:
    """The config after an expanded instruction. RUN, COPY, ADD, ARG and FROM change none of it."""
    match instruction:
        case i.Env():
            return config.with_values(Env=_merged_env(config, instruction.pairs))
        case i.Label():
            return config.with_labels({pair.name: pair.value or "" for pair in instruction.pairs})
        case i.Cmd():
            changed = _with_command(config, "Cmd", instruction.command)
            return replace(changed.with_values(ArgsEscaped=True), has_cmd=True)
        case i.Entrypoint():
            return _with_entrypoint(config, instruction)
        case i.Workdir():
            return config.with_values(WorkingDir=config.workdir(instruction.path))
        case i.User():
            return config.with_values(User=instruction.user)
        case i.Expose():
            ports = [port for word in instruction.ports for port in parse_ports(word)]
            return _with_keys(config, "ExposedPorts", ports)
        case i.Volume():
            return _with_keys(config, "Volumes", instruction.paths)
        case i.StopSignal():
            return config.with_values(StopSignal=_signal(instruction.signal))
        case i.Healthcheck():
            return config.with_values(Healthcheck=_healthcheck(instruction))
        case i.Shell():
            return config.with_values(Shell=list(instruction.args))
        case i.Onbuild():
            return config.with_values(OnBuild=[*config.triggers, instruction.expression])
        case i.Maintainer():
            return replace(config, author=instruction.maintainer)
    return config


def command_line(command: i.Command, config: StageConfig) -> tuple[str, ...]:
    """The argv of a shell or exec form."""
    return (*config.shell, *command.args) if command.is_shell and command.args else command.args


def _with_command(config: StageConfig, key: str, command: i.Command) -> StageConfig:
    return config.with_values(**{key: list(command_line(command, config)) or None})


def _with_entrypoint(config: StageConfig, instruction: i.Entrypoint) -> StageConfig:
    changed = _with_command(config, "Entrypoint", instruction.command)
    # an inherited CMD was meant as arguments of the inherited entry point
    return changed if config.has_cmd else changed.with_values(Cmd=None)


def _merged_env(config: StageConfig, pairs: Iterable[i.Pair]) -> list[str]:
    """Known names keep their places, new ones follow in order."""
    merged = {**config.env, **{pair.name: pair.value or "" for pair in pairs}}
    return [f"{name}={value}" for name, value in merged.items()]


def _with_keys(config: StageConfig, key: str, names: Iterable[str]) -> StageConfig:
    """Go's sets are objects of empty objects in JSON."""
    return config.with_values(
        **{key: {**(config.json.get(key) or {}), **{name: {} for name in names}}}
    )


def _signal(text: str) -> str:
    """The text itself, if it names a signal by name or number."""
    name = text.upper().removeprefix("SIG")
    is_number = text.isascii() and text.isdigit() and len(text) < 4 and 0 < int(text) <= 64
    if not (is_number or f"SIG{name}" in signal.Signals.__members__ or _REALTIME.fullmatch(name)):
        raise InvalidInput(f"Invalid signal: {text}")
    return text


def _healthcheck(check: i.Healthcheck) -> Json:
    values = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {"Test": list(check.test), **{key: value for key, value in values.items() if value}}

"""Attributes of a container for each entry of its log: `tag`, `labels` and `env`.

`tag` is a Go template over moby's logger.Info. Its fields are replaced, and the functions that
change the case; other actions are refused.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput

DEFAULT_TAG: Final = "{{.ID}}"
_FAILED: Final = "failed to initialize logging driver: "
_ACTION: Final = r"(?s)\{\{-?\s*(.*?)\s*-?\}\}"
_FUNCTIONS: Final = {"upper": str.upper, "lower": str.lower, "title": str.title}


class LogSubject(Struct, frozen=True, kw_only=True):
    """The container that a log is of. `env` has the form "NAME=value"."""

    id: str
    name: str
    image: str
    image_id: str
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    labels: dict[str, str] = {}

    def fields(self) -> dict[str, str]:
        """Those of logger.Info that are text."""
        return {
            "ID": self.id[:12],
            "FullID": self.id,
            "Name": self.name,
            "ImageID": self.image_id[:12],
            "ImageFullID": self.image_id,
            "ImageName": self.image,
            "DaemonName": "docker",
            "Command": " ".join(self.command),
            "ContainerID": self.id,
            "ContainerName": f"/{self.name}",
            "ContainerImageID": self.image_id,
            "ContainerImageName": self.image,
            "Hostname": socket.gethostname(),
        }


_NOBODY: Final = LogSubject(id="", name="", image="", image_id="")


def check(options: Mapping[str, str]) -> None:
    """Raises InvalidInput for a template or an expression that is none."""
    tag(options, _NOBODY)
    attributes(options, _NOBODY)


def tag(options: Mapping[str, str], subject: LogSubject, default: str = "") -> str:
    """The value of the option `tag`; `default` is the template where it is not given."""
    template = options.get("tag", "") or default
    fields = subject.fields()
    text, end = "", 0
    for action in re.finditer(_ACTION, template):
        text += template[end : action.start()]
        text += _value(action, fields)
        end = action.end()
    if "{{" in template[end:]:
        raise InvalidInput(f"{_FAILED}template: log-tag:1: unclosed action")
    return text + template[end:]


def _value(action: re.Match[str], fields: Mapping[str, str]) -> str:
    field, *functions = (part.strip() for part in action[1].split("|"))
    at = action.start(1)
    if not re.fullmatch(r"\.[A-Za-z]+", field):
        raise InvalidInput(
            f"{_FAILED}template: log-tag:1: {action[0]} is not supported",
            hint=f"a tag is made of {', '.join(f'{{{{.{name}}}}}' for name in fields)}",
        )
    if field[1:] not in fields:
        raise InvalidInput(
            f'{_FAILED}template: log-tag:1:{at}: executing "log-tag" at <{field}>: '
            f"can't evaluate field {field[1:]} in type *logger.Info"
        )
    value = fields[field[1:]]
    for name in functions:
        if name not in _FUNCTIONS:
            raise InvalidInput(f'{_FAILED}template: log-tag:1: function "{name}" not defined')
        value = _FUNCTIONS[name](value)
    return value


def attributes(options: Mapping[str, str], subject: LogSubject) -> dict[str, str]:
    """The labels and variables that the options name, sorted by name."""
    env = dict(pair.partition("=")[::2] for pair in subject.env if "=" in pair)
    chosen = {
        **_chosen(subject.labels, options, "labels"),
        **_chosen(env, options, "env"),
    }
    return dict(sorted(chosen.items()))


def _chosen(values: Mapping[str, str], options: Mapping[str, str], option: str) -> dict[str, str]:
    names: Sequence[str] = options.get(option, "").split(",")
    chosen = {name: values[name] for name in names if name in values}
    if expression := options.get(f"{option}-regex", ""):
        try:
            wanted = re.compile(expression)
        except re.error as error:
            raise InvalidInput(f"{_FAILED}error parsing regexp: {error}: `{expression}`") from None
        chosen |= {name: value for name, value in values.items() if wanted.search(name)}
    return chosen

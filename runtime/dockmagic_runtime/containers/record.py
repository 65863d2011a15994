"""`Record`: a container as its row in the database keeps it, image defaults already applied.

The record has its own copy of what it took from the image: the tag may move, and the image may be
removed by force, while the container exists.
"""

# No annotations as texts: msgspec compiles each when it first uses the class, 10 us a field.

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.checked import trusted
from dockmagic_runtime.model.container import ContainerSpec, HealthCheck, Mount
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.model.ports import expand_ports
from dockmagic_runtime.model.utf8 import printable

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Record(Struct, frozen=True, kw_only=True):
    """`layers` are chain ids, topmost first. `spec` is the request, unchanged."""

    id: str
    name: str
    image_id: str
    created: float
    spec: ContainerSpec
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    hostname: str
    stop_signal: str
    labels: dict[str, str]
    exposed: tuple[str, ...]
    mounts: tuple[Mount, ...]
    layers: tuple[str, ...]
    anonymous_volumes: tuple[str, ...] = field(default=())
    health: HealthCheck | None = None  # the spec's; unset fields are the image's
    shell: tuple[str, ...] = ()  # the image's SHELL, for health checks
    # by target, the layers of an image that is mounted there, topmost first
    mounted_images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # after `network connect` and `disconnect`; None in rows of earlier versions
    networks: tuple[Attachment, ...] | None = None
    # Docker's Config.Volumes: the image's and those of `-v /path`; None in earlier rows
    config_volumes: tuple[str, ...] | None = None
    # on the default network: alias, id and name of the other container
    links: tuple[tuple[str, ...], ...] = ()

    @property
    def volumes(self) -> tuple[str, ...]:
        """The targets of the image's VOLUME and of `-v` without a source, in order."""
        if self.config_volumes is not None:
            return self.config_volumes
        anonymous = (m.target for m in self.mounts if m.source in self.anonymous_volumes)
        return tuple(sorted(anonymous))

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The bridge networks that it is connected to while it runs."""
        if self.networks is not None:
            return self.networks
        return (Attachment(network="bridge"),) if self.spec.network == "bridge" else ()

    @property
    def has_names(self) -> bool:
        """Whether one of its networks has a DNS resolver for names of containers."""
        return any(attachment.network != "bridge" for attachment in self.attachments)

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.entrypoint, *self.command)

    def encode(self) -> str:
        """As JSON. Bytes of a command line that are no UTF-8 become U+FFFD, as in the requests of
        Docker's client."""
        try:
            return msgspec.json.encode(self).decode()
        except UnicodeEncodeError:
            return msgspec.json.encode(_as_text(msgspec.to_builtins(self))).decode()

    @classmethod
    def decode(cls, text: str | bytes) -> "Record":
        with trusted():
            return _DECODER.decode(text)


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_as_text(key): _as_text(item) for key, item in value.items()}
    return [_as_text(item) for item in value] if isinstance(value, (list, tuple)) else value


_DECODER = msgspec.json.Decoder(Record)


def command_line(spec: ContainerSpec, image: Image) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(entrypoint, command) by Docker's rules. Raises InvalidInput when both are empty.

    An entry point in the spec, even an empty one, also replaces the image's CMD.
    """
    entrypoint, default = image.config.entrypoint or (), image.config.cmd or ()
    if spec.entrypoint is not None:
        entrypoint, default = spec.entrypoint, ()
    command = spec.command or default
    if not (*entrypoint, *command):
        raise InvalidInput(
            "no command specified", hint=f"image {spec.image} has neither CMD nor ENTRYPOINT"
        )
    return entrypoint, command


def environment(spec: ContainerSpec, image: Image) -> tuple[str, ...]:
    """KEY=value strings in Docker's order: the spec's, then the image's that it does not set.

    A `KEY` without `=` in the spec is kept: it removes the variable at the start.
    """
    merged = {entry.partition("=")[0]: entry for entry in spec.env}
    for entry in image.config.env:
        merged.setdefault(entry.partition("=")[0], entry)
    return tuple(merged.values())


def process_environment(hostname: str, env: Iterable[str], *, tty: bool) -> dict[str, str]:
    """The variables of every container, then those of `env`, which replace them in place.

    A `KEY` without `=` removes a variable.
    """
    defaults = [DEFAULT_PATH, f"HOSTNAME={hostname}", *(["TERM=xterm"] if tty else [])]
    merged: dict[str, str | None] = {}
    for entry in (*defaults, *env):
        key, separator, value = entry.partition("=")
        merged[key] = value if separator else None
    return {key: value for key, value in merged.items() if value is not None}


def exposed_ports(spec: ContainerSpec, image: Image) -> tuple[str, ...]:
    """ "80/tcp" strings: the image's EXPOSE, `--expose` and everything published."""
    published = [f"{port.container_port}/{port.protocol}" for port in spec.ports]
    exposed = [
        port for text in (*image.config.exposed_ports, *spec.expose) for port in _port_range(text)
    ]
    return tuple(sorted(dict.fromkeys((*exposed, *published)), key=_port_order))


def _port_range(text: str) -> tuple[str, ...]:
    try:
        return expand_ports(text)
    except ValueError:
        raise InvalidInput(f"invalid range format for --expose: {text}") from None


def _port_order(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol

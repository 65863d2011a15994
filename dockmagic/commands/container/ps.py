"""`docker ps`: containers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.options.filters import gather, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, integer, switch, values
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, label_lookup, stable_column
from dockmagic.commands.output.result import Event, Outcome, is_named, notice
from dockmagic.commands.output.table import ellipsis
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size, moment, timestamp
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import Container
from dockmagic_runtime.model.container_texts import command_text, status_text
from dockmagic_runtime.model.go_values import quote
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.times import ago

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="ps",
        usage="[OPTIONS]",
        summary="List containers",
        maximum=0,
        flags=(
            switch("all", "a", "Show all containers (default shows just running)"),
            values(
                "filter",
                "f",
                "Filter output based on conditions provided",
                type="filter",
                convert=parse_filter,
            ),
            LIST_FORMAT,
            integer(
                "last", "n", "Show n last created containers (includes all states)", default=-1
            ),
            switch("latest", "l", "Show the latest created container (includes all states)"),
            switch("no-trunc", help="Don't truncate output"),
            switch("quiet", "q", "Only display container IDs"),
            switch("size", "s", "Display total file sizes"),
        ),
    )


class Containers(Listing, frozen=True, kw_only=True):
    """The rows of `docker ps`; `items` are the engine's `Container` values."""

    go_type: ClassVar[str] = "*formatter.ContainerContext"
    raw: ClassVar[tuple[tuple[str, str], ...]] = (
        ("container_id", "ID"), ("image", "Image"), ("command", "Command"),
        ("created_at", "CreatedAt"), ("state", "State"), ("status", "Status"), ("names", "Names"),
        ("labels", "Labels"), ("ports", "Ports"),
    )  # fmt: skip
    columns: ClassVar[tuple[Column, ...]] = (
        Column("ID", "CONTAINER ID"),
        stable_column("Image", "IMAGE"),
        stable_column("Command", "COMMAND"),
        Column("RunningFor", "CREATED"),
        Column("Status", "STATUS", "_status"),
        stable_column("Ports", "PORTS"),
        Column("Names", "NAMES", "_names"),
    )
    headings: ClassVar[dict[str, str]] = {
        "CreatedAt": "CREATED AT",
        "LocalVolumes": "LOCAL VOLUMES",
    }

    items: tuple[Container, ...]

    def stable_columns(self) -> list[tuple[str, str]]:
        """Names first: without ids they identify the rows."""
        *columns, names = super().stable_columns()
        return [names, *columns]

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "id": container.short_id,
                "name": container.name,
                "image": familiar(container.image),
                "command": command_text(container),
                "created": moment(container.created),
                "status": str(container.status),
                "exit_code": container.exit_code,
                "ip_address": container.ip_address,
                "ports": ", ".join(port_texts(container)),
            }
            for container in self.items
        ]


class ContainersWithSizes(Containers, frozen=True):
    """With a column that `--size` asks for: measuring takes its time."""

    columns: ClassVar[tuple[Column, ...]] = (*Containers.columns, Column("Size", "SIZE"))


def check_format(text: str) -> None:
    """Docker executes the template once before it asks for containers, with an empty one."""
    from dockmagic.commands.gotemplate.template import Template
    from dockmagic.commands.gotemplate.types import Context

    if text in ("", "json", "raw", "table"):
        return
    template = Template(text, prefix="failed to parse template: ")
    try:
        template.render(Context(_EMPTY, Containers.go_type))
    except InvalidInput as error:
        message = f"failed to execute template: {error.message}"
        raise InvalidInput(message, hint=error.hint) from None


_EMPTY: dict[str, Any] = {
    **dict.fromkeys(
        "Command CreatedAt ID Image Labels LocalVolumes Mounts Names Networks Ports RunningFor "
        "Size State Status".split(),
        "",
    ),
    "Platform": None,
    "Label": label_lookup({}),
}


def run(engine: EngineApi, arguments: Arguments) -> Outcome:
    quiet, format = arguments.flag("quiet"), arguments.flag("format")
    if format:
        check_format(format)
    containers = _chosen(engine, arguments)
    in_full = arguments.flag("no-trunc")
    kind = ContainersWithSizes if arguments.flag("size") else Containers
    is_sized = arguments.flag("size") or (not quiet and _wants_size(arguments))
    listing = kind(
        items=tuple(containers),
        fields=tuple(
            row_fields(container, in_full=in_full) | (_size(engine, container) if is_sized else {})
            for container in containers
        ),
        format="" if quiet else format,
        quiet=quiet,
        in_full=in_full,
    )
    return _with_warning(listing) if quiet and format else listing


def _with_warning(listing: Containers) -> Iterator[Event]:
    yield notice("WARNING: Ignoring custom format, because both --format and --quiet are set.")
    yield listing


def _wants_size(arguments: Arguments) -> bool:
    """Whether the format shows the size; `--size=false` keeps even JSON from measuring."""
    text = arguments.flag("format")
    is_shown = ".Size" in text or text in ("json", "{{json .}}")
    return is_shown and not arguments.is_given("size")


def _chosen(engine: EngineApi, arguments: Arguments) -> list[Container]:
    """No limit, as with Docker, if it is not above zero."""
    last = arguments.flag("last")
    if arguments.flag("latest") and last == -1:
        last = 1
    every = arguments.flag("all") or last > 0
    containers = engine.containers.list(all=every, filters=gather(arguments.flag("filter")))
    return list(containers[:last] if last > 0 else containers)


def _size(engine: EngineApi, container: Container) -> Fields:
    try:
        size = engine.containers.size(container.id)
    except NotFound:
        return {"Size": "0B"}  # it is gone since the list was made
    return {"Size": f"{decimal_size(size.writable)} (virtual {decimal_size(size.root)})"}


def row_fields(container: Container, *, in_full: bool) -> Fields:
    command = command_text(container)
    return {
        "ID": container.id if in_full else container.short_id,
        "Image": container.image if in_full else image_text(container),
        "Command": quote(command if in_full else ellipsis(command, 20)),
        "CreatedAt": timestamp(container.created),
        "RunningFor": ago(container.created),
        "Ports": ", ".join(port_texts(container)),
        "State": str(container.status),
        "Status": status_text(container),
        "_status": status_text(container, with_times=False),
        "Names": ",".join(sorted((container.name, *(container.links if in_full else ())))),
        "_names": container.name if is_named(container) else "(random)",
        "Labels": ",".join(f"{key}={text}" for key, text in sorted(container.labels.items())),
        "Label": label_lookup(container.labels),
        "Mounts": ",".join(mount.source or mount.target for mount in container.mounts),
        "LocalVolumes": str(sum(mount.kind == "volume" for mount in container.mounts)),
        "Networks": ",".join(container.networks),
        "Platform": None,  # Docker has one with the containerd image store only
        "Size": "0B",  # unless it is measured
    }


def image_text(container: Container) -> str:
    """The image as it was named, its digest left out; its short id where that was given."""
    short = container.image_id.removeprefix("sha256:")[:12]
    if short == container.image.removeprefix("sha256:")[:12]:
        return short
    try:
        reference = ImageReference.parse(container.image)
    except InvalidInput:
        return container.image  # an id, or a name from elsewhere
    text = container.image.partition("@")[0]
    has_tag = ":" in text.rpartition("/")[2]
    return f"{reference.familiar_name}:{reference.tag}" if has_tag else reference.familiar_name


def port_texts(container: Container) -> list[str]:
    """As `docker ps` shows them: by the container's port, and as ranges where a port is the same
    on both sides or is not published. A range comes where its last port has its place."""
    if not container.status.is_alive:
        return []
    runs: dict[tuple[str, str], tuple[int, int]] = {}
    over: list[str] = []
    moved: list[str] = []  # published under another number: each on its own, and last
    for number, host_ip, host_port, protocol in sorted(_ports(container)):
        if host_port not in (0, number):
            moved.append(f"{_host(host_ip)}:{host_port}->{number}/{protocol}")
            continue
        key = (host_ip, protocol)
        first, last = runs.get(key, (number, number - 1))
        if number != last + 1:
            over.append(_range(*key, first, last))
            first = number
        runs[key] = (first, number)
    return [*over, *(_range(*key, *run) for key, run in runs.items()), *moved]


def _ports(container: Container) -> Iterator[tuple[int, str, int, str]]:
    """Port of the container, address and port of the host, protocol; published ones and others."""
    taken: set[str] = set()
    for port in container.ports:
        if port.host_port:
            taken.add(f"{port.container_port}/{port.protocol}")
            yield port.container_port, port.host_ip or "0.0.0.0", port.host_port, port.protocol
    for number, _, protocol in (port.partition("/") for port in container.exposed):
        if f"{number}/{protocol}" not in taken:
            yield int(number), "", 0, protocol


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _range(host_ip: str, protocol: str, first: int, last: int) -> str:
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{_host(host_ip)}:{ports}->{ports}/{protocol}" if host_ip else f"{ports}/{protocol}"

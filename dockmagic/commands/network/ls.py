"""`docker network ls`: networks, one a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.options.filters import gather, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, switch, values
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, label_lookup, stable_column
from dockmagic.commands.units import moment, timestamp
from dockmagic_runtime.model.network import Network

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="network ls",
        usage="[OPTIONS]",
        summary="List networks",
        maximum=0,
        flags=(
            values(
                "filter",
                "f",
                'Provide filter values (e.g. "driver=bridge")',
                type="filter",
                convert=parse_filter,
            ),
            LIST_FORMAT,
            switch("no-trunc", help="Do not truncate the output"),
            switch("quiet", "q", "Only display network IDs"),
        ),
    )


class Networks(Listing, frozen=True, kw_only=True):
    """The rows of `docker network ls`; `items` are the engine's `Network` values."""

    go_type: ClassVar[str] = "*network.networkContext"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("ID", "NETWORK ID"),
        stable_column("Name", "NAME"),
        stable_column("Driver", "DRIVER"),
        stable_column("Scope", "SCOPE"),
    )
    headings: ClassVar[dict[str, str]] = {"CreatedAt": "CREATED AT"}
    raw: ClassVar[tuple[tuple[str, str], ...]] = (
        ("network_id", "ID"), ("name", "Name"), ("driver", "Driver"), ("scope", "Scope"),
    )  # fmt: skip

    items: tuple[Network, ...]

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "id": network.id,
                "name": network.name,
                "driver": network.driver,
                "subnet": network.subnet,
                "gateway": network.gateway,
                "internal": network.internal,
                "created": moment(network.created),
                "labels": network.labels,
            }
            for network in self.items
        ]


def run(engine: EngineApi, arguments: Arguments) -> Networks:
    networks = engine.networks.list(gather(arguments.flag("filter")))
    in_full = arguments.flag("no-trunc")
    return Networks(
        items=networks,
        fields=tuple(_fields(network, in_full=in_full) for network in networks),
        format=arguments.flag("format"),
        quiet=arguments.flag("quiet"),
        in_full=in_full,
    )


def _fields(network: Network, *, in_full: bool) -> Fields:
    return {
        "ID": network.id if in_full else network.short_id,
        "Name": network.name,
        "Driver": network.driver,
        "Scope": network.scope,
        "IPv4": "true",
        "IPv6": str(network.ipv6).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": ",".join(f"{key}={text}" for key, text in sorted(network.labels.items())),
        "Label": label_lookup(network.labels),
        "CreatedAt": timestamp(network.created, fraction=True),
    }

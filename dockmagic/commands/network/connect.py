"""`docker network connect`: one more network for a container, running or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, integer, strings, value, values
from dockmagic.commands.output.result import Nothing
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.options.networks import (
    parse_driver_option,
    parse_ipv4,
    parse_ipv6,
    parse_link,
    parse_link_local,
)

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="network connect",
        usage="[OPTIONS] NETWORK CONTAINER",
        summary="Connect a container to a network",
        minimum=2,
        maximum=2,
        flags=(
            strings("alias", help="Add network-scoped alias for the container"),
            strings("driver-opt", help="driver options for the network"),
            integer(
                "gw-priority",
                help="Highest gw-priority provides the default gateway. Accepts positive and "
                "negative values.",
            ),
            value("ip", help='IPv4 address (e.g., "172.30.100.104")', convert=parse_ipv4),
            value("ip6", help='IPv6 address (e.g., "2001:db8::33")', convert=parse_ipv6),
            values("link", help="Add link to another container", convert=parse_link),
            strings(
                "link-local-ip",
                help="Add a link-local address for the container",
                convert=parse_link_local,
            ),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Nothing:
    network, container = arguments.words
    flag = arguments.flag
    attachment = Attachment(
        network=network,
        aliases=flag("alias"),
        ipv4=flag("ip"),
        ipv6=flag("ip6"),
        driver_options=tuple(map(_driver_option, flag("driver-opt"))),
        links=tuple((alias, target) for target, alias in flag("link")),
        gw_priority=flag("gw-priority"),
        link_local_ips=flag("link-local-ip"),
    )
    engine.networks.connect(network, container, attachment)
    return Nothing()


def _driver_option(text: str) -> tuple[str, str]:
    key, equals, _ = text.partition("=")
    if not key or not equals:
        raise InvalidInput("invalid key/value pair format in driver options")
    try:
        return parse_driver_option(text)
    except ValueError as error:
        raise InvalidInput(str(error)) from None

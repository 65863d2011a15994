"""`network.json`: a network in its own directory, for processes without the database.

A process that finds our nftables table gone installs it again from these files: a supervisor has
no database. Each file also has the whole `Network`, from which its row can be restored.
"""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from dockmagic_runtime.model.network import Network
from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.store.atomic import write_file

NAME: Final = "network.json"
_LONGEST_INTERFACE: Final = 15  # bytes: IFNAMSIZ without the zero


def write(directory: str, network: Network, config: BridgeConfig | None) -> None:
    """Write the file into the network's directory, which exists, atomically.

    `config` is None for a network without a bridge.
    """
    document = {**(msgspec.to_builtins(config) if config else {}), "network": network}
    write_file(f"{directory}/{NAME}", msgspec.json.encode(document))


def read(directory: str) -> BridgeConfig | None:
    """The config; None for a network without a bridge, and for a missing or a damaged file."""
    try:
        config = msgspec.convert(_document(directory), BridgeConfig)
        for subnet in filter(None, (config.subnet, config.subnet6)):
            Block.parse(subnet)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    is_name = 0 < len(config.bridge.encode()) <= _LONGEST_INTERFACE
    return config if is_name and config.subnet else None


def definition(directory: str) -> Network | None:
    """The whole network; None when the file is missing, damaged, or of an earlier version."""
    try:
        return msgspec.convert(_document(directory).get("network"), Network)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def _document(directory: str) -> dict[str, Any]:
    """Raises OSError, and ValueError for a damaged file."""
    with open(f"{directory}/{NAME}", "rb") as stream:
        document = msgspec.json.decode(stream.read())
    if not isinstance(document, dict):
        raise ValueError(f"{directory}/{NAME} is no object")
    return document


def everything(networks: str) -> list[BridgeConfig]:
    """The configs of all networks below that directory, by network id; damaged ones are left
    out."""
    try:
        names = os.listdir(networks)
    except FileNotFoundError:
        return []
    configs = (read(f"{networks}/{name}") for name in sorted(names))
    return [config for config in configs if config is not None]

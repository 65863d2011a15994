"""`network.json`: the `BridgeConfig` of a network in the directory of that network.

A process that finds our nftables table gone installs it again from these files: a supervisor has
no database.
"""

from __future__ import annotations

import json
import os

from msgspec import to_builtins

from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.store.atomic import write_file

_NAME = "network.json"


def write(directory: str, config: BridgeConfig) -> None:
    """Into the network's directory, which exists; whole or not at all."""
    write_file(f"{directory}/{_NAME}", json.dumps(to_builtins(config)).encode())


def read(directory: str) -> BridgeConfig | None:
    """What was written there; None when the network was removed meanwhile."""
    try:
        with open(f"{directory}/{_NAME}", "rb") as stream:
            return BridgeConfig(**json.load(stream))
    except FileNotFoundError:
        return None


def everything(networks: str) -> list[BridgeConfig]:
    """The configs of all networks below that directory, by network id."""
    try:
        names = os.listdir(networks)
    except FileNotFoundError:
        return []
    configs = (read(f"{networks}/{name}") for name in sorted(names))
    return [config for config in configs if config is not None]

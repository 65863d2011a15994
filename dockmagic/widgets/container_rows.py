"""What the live views show of a container, and which buttons its state has."""

from __future__ import annotations

import time
from typing import Any

from dockmagic.commands.container.ps import image_text as shown_image
from dockmagic.commands.units import binary_size, decimal_size
from dockmagic.widgets.card import container_state, port_address, port_text, published
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.container import Container, Stats
from dockmagic_runtime.model.container_texts import command_text, status_text
from dockmagic_runtime.model.times import ago

# Verb → icon, and what is asked in place before it is done.
_ICONS = {
    "pause": "pause", "unpause": "resume", "start": "start", "stop": "stop",
    "restart": "restart", "kill": "kill", "rm": "remove",
}  # fmt: skip
_QUESTIONS = {
    "kill": "Kill {}? What it has not written is lost.",
    "rm": "Remove {}? Its files are lost, its volumes stay.",
}
TABS = ("Logs", "Stats", "Diff", "Inspect")
_COMMAND = 40  # characters


def verbs_of(container: Container) -> tuple[str, ...]:
    """What can be done with it in its state, in the order of the buttons."""
    match str(container.status):
        case "running":
            return ("pause", "stop", "restart", "kill")
        case "paused":
            return ("unpause", "stop", "kill")
        case "restarting":
            return ("stop", "kill")
        case "created" | "exited" | "dead":
            return ("start", "rm")
    return ()


def actions_of(container: Container) -> list[dict[str, str]]:
    """The buttons: verb, icon, label, the docker line, and what to ask before."""
    return [
        {
            "verb": verb,
            "icon": _ICONS[verb],
            "label": f"{verb} {plain(container.name)}",
            "line": line_of(verb, container.name),
            "question": _QUESTIONS.get(verb, "").format(plain(container.name)),
        }
        for verb in verbs_of(container)
    ]


def line_of(verb: str, name: str) -> str:
    """What would be typed instead of pressing the button."""
    return f"docker {verb} {plain(name)}"


def row_of(container: Container) -> dict[str, Any]:
    """Texts are shown as texts: what a container says in them is never markup."""
    state = container_state(container)
    command = plain(command_text(container))
    return {
        "id": container.id,
        "name": plain(container.name),
        "image": plain(shown_image(container)),
        "status": plain(status_text(container)),
        "token": state.token,
        "mark": state.mark,
        "word": state.word,
        "runs": str(container.status) == "running",
        "ports": [
            {
                "text": port_text(port),
                "address": port_address(port) if port.protocol == "tcp" else "",
            }
            for port in published(container)
        ],
        "command": command if len(command) <= _COMMAND else f"{command[:_COMMAND]}…",
        "actions": actions_of(container),
    }


def ended_text(container: Container) -> str:
    """`exited (137), out of memory · 5 seconds ago`; empty while it runs or may run again."""
    if container.status.is_alive or str(container.status) == "created":
        return ""
    memory = ", out of memory" if container.oom_killed else ""
    when = f" · {ago(container.finished)}" if container.finished else ""
    return f"{container.status} ({container.exit_code}){memory}{when}"


def sample_of(stats: Stats) -> dict[str, Any]:
    """One sample: numbers to draw, and texts ready to show."""
    return {
        "id": stats.id,
        "name": plain(stats.name),
        "time": stats.time or time.time(),
        "cpu": round(stats.cpu_percent, 2),
        "memory": stats.memory_bytes,
        "limit": stats.memory_limit,
        "rx": stats.network_rx,
        "tx": stats.network_tx,
        "read": stats.block_read,
        "written": stats.block_write,
        "pids": stats.pids,
        "memory_text": binary_size(stats.memory_bytes),
        "limit_text": binary_size(stats.memory_limit) if stats.memory_limit else "",
        "network_text": f"{decimal_size(stats.network_rx)} / {decimal_size(stats.network_tx)}",
        "block_text": f"{decimal_size(stats.block_read)} / {decimal_size(stats.block_write)}",
    }

"""A container's columns of `ps` that Docker's daemon writes: COMMAND and STATUS."""

from __future__ import annotations

from dockmagic_runtime.model.container import Container, Status
from dockmagic_runtime.model.times import ago


def command_text(container: Container) -> str:
    """As moby joins it: arguments with a blank in quotes, whatever else is in them."""
    program, *arguments = container.command or ("",)
    return " ".join([program, *(f"'{word}'" if " " in word else word for word in arguments)])


def status_text(container: Container, *, with_times: bool = True) -> str:
    """`Up 2 minutes (healthy)`, `Exited (0) 3 hours ago`, `Created`."""
    if container.damage and not container.status.is_alive:
        return f"{str(container.status).capitalize()} ({container.exit_code}) (damaged)"
    over = {Status.EXITED: "Exited", Status.RESTARTING: "Restarting"}.get(container.status)
    if over:
        when = f" {ago(container.finished)}" if with_times and container.finished else ""
        return f"{over} ({container.exit_code}){when}"
    if container.status.is_alive:
        since = ago(container.started).removesuffix(" ago")
        return " ".join(
            ["Up", *([since] if with_times and container.started else []), *_aside(container)]
        )
    return {Status.REMOVING: "Removal In Progress"}.get(
        container.status, str(container.status).capitalize()
    )


def _aside(container: Container) -> list[str]:
    if container.damage:
        return ["(damaged)"]
    if container.status is Status.PAUSED:
        return ["(Paused)"]
    if not container.health:
        return []
    return ["(health: starting)" if container.health == "starting" else f"({container.health})"]

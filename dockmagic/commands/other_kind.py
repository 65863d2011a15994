"""`layers web`, where `web` is a container: an error about a name says what else has that name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic_runtime.errors import DockmagicError, NotFound

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_IMAGE, _CONTAINER = "No such image: ", "No such container: "


def add_hint(engine: EngineApi, error: DockmagicError) -> None:
    """Gives the error a hint if an image is meant and a container has the name, or vice versa."""
    if not isinstance(error, NotFound):
        return
    try:
        if error.message.startswith(_IMAGE):
            error.hint = _container(engine, error.message.removeprefix(_IMAGE)) or error.hint
        elif error.message.startswith(_CONTAINER):
            error.hint = _image(engine, error.message.removeprefix(_CONTAINER)) or error.hint
    except DockmagicError:
        return  # nothing has the name


def _container(engine: EngineApi, name: str) -> str:
    from dockmagic.commands.references import familiar

    name = name.removesuffix(":latest")
    container = engine.containers.get(name)
    if container.name != name:
        return ""
    return f"{name} is a container; its image is {familiar(container.image)}"


def _image(engine: EngineApi, name: str) -> str:
    if not engine.images.get(name).tags:
        return ""
    return f"{name} is an image: 'docker ps -a --filter ancestor={name}' lists its containers"

"""`Facet`: one part of the engine's public API, over the components it uses."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from dockmagic_runtime.engine.components import EngineComponents


Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")
AnyFacet = TypeVar("AnyFacet", bound="Facet")


class Facet:
    """Holds the engine's components, and nothing of its own."""

    __slots__ = ("_components",)

    def __init__(self, components: EngineComponents) -> None:
        self._components = components


def freeing(
    method: Callable[Concatenate[AnyFacet, Parameters], Value],
) -> Callable[Concatenate[AnyFacet, Parameters], Value]:
    """Decorates a method that makes room on the disk: on a full one it may use the reserve."""

    @wraps(method)
    def with_reserve(
        self: AnyFacet, /, *args: Parameters.args, **fields: Parameters.kwargs
    ) -> Value:
        with self._components.database.freeing():
            return method(self, *args, **fields)

    return with_reserve


def of_container(
    method: Callable[Concatenate[AnyFacet, Parameters], Value],
) -> Callable[Concatenate[AnyFacet, Parameters], Value]:
    """Decorates a method that works on the files of the container `name`, its first argument.

    Another process may remove that container meanwhile: then its files are missing, and what is
    raised is NotFound.
    """

    @wraps(method)
    def with_container(
        self: AnyFacet, /, *args: Parameters.args, **fields: Parameters.kwargs
    ) -> Value:
        try:
            return method(self, *args, **fields)
        except FileNotFoundError:
            name = args[0] if args else fields["name"]
            self._components.containers.find(str(name))  # raises
            raise

    return with_container

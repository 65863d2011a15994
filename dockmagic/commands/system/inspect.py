"""`docker inspect`: all that is known of a container or an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser, WrongUsage, switch, value
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, Unsupported

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parse_type(text: str) -> str:
    if text in ("", "container", "image", "network", "volume"):
        return text
    known = "config container image network node plugin secret service task volume".split()
    if text in known:
        raise Unsupported(
            f"inspecting a {text} is not supported yet",
            hint="container, image, network and volume are",
        )
    quoted = ", ".join(f'"{word}"' for word in known)
    raise InvalidInput(f'unknown type: "{text}": must be one of {quoted}')


def parser() -> Parser:
    return Parser(
        verb="inspect",
        usage="[OPTIONS] NAME|ID [NAME|ID...]",
        summary="Return low-level information on Docker objects",
        minimum=1,
        flags=(
            INSPECT_FORMAT,
            value("type", help="Only inspect objects of the given type", convert=parse_type),
            switch("size", "s", "Display total file sizes if the type is container"),
        ),
    )


class Inspected(Result, frozen=True):
    """Docker's JSON, one dict an object; what a template made of it, if one was given."""

    names: tuple[str, ...]
    objects: tuple[dict[str, Any], ...]
    printed: tuple[str, ...] | None = None
    failed: tuple[DockmagicError, ...] = ()

    @property
    def has_empty_lines(self) -> bool:
        return self.printed is not None  # Docker ends what a template made with a line's end

    @property
    def errors(self) -> tuple[DockmagicError, ...]:
        return self.failed

    def text(self) -> str:
        if self.printed is not None:
            return "\n".join(self.printed)
        return json.dumps(self.objects, indent=4, ensure_ascii=False)

    def stable(self) -> str:
        if self.printed is not None:
            return self.text()
        return "\n".join(
            f"{name}: {', '.join(o)}" for name, o in zip(self.names, self.objects, strict=True)
        )

    def rows(self) -> list[dict[str, Any]]:
        return list(self.objects)

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, key: int | str) -> Any:
        """An object by number; a field of the only object by name."""
        return self.objects[key] if isinstance(key, int) else self.objects[0][key]


def run(engine: EngineApi, arguments: Arguments) -> Inspected:
    find = _finder(engine, arguments.flag("type"))
    if arguments.flag("size"):
        find = sized(engine, find)
    return inspect_each(find, arguments.words, arguments.flag("format"))


def sized(
    engine: EngineApi, find: Callable[[str], dict[str, Any]]
) -> Callable[[str], dict[str, Any]]:
    """With SizeRw and SizeRootFs, of a container."""

    def with_size(name: str) -> dict[str, Any]:
        document = find(name)
        if "State" in document:
            size = engine.containers.size(document["Id"])
            document |= {"SizeRw": size.writable, "SizeRootFs": size.root}
        return document

    return with_size


def inspect_each(
    find: Callable[[str], dict[str, Any]], names: Sequence[str], format: str
) -> Inspected:
    """Of each name what `find` says; one that fails does not keep the next from its turn."""
    documents: dict[str, dict[str, Any]] = {}
    failed: list[DockmagicError] = []
    for name in names:
        try:
            documents[name] = find(name)
        except DockmagicError as error:
            failed.append(error)
    objects = tuple(documents.values())
    printed = _printed(objects, format)
    return Inspected(tuple(documents), objects, printed, tuple(failed))


def _printed(objects: tuple[dict[str, Any], ...], format: str) -> tuple[str, ...] | None:
    if not format:
        return None
    from dockmagic.commands.gotemplate.template import Template

    try:
        template = Template("{{json .}}" if format == "json" else format)
    except InvalidInput as error:
        raise WrongUsage(error.message, verb="inspect", hint=error.hint, exit_code=64) from None
    return tuple(map(template.render, objects))


def _finder(engine: EngineApi, kind: str) -> Callable[[str], dict[str, Any]]:
    if kind == "container":
        return engine.containers.inspect
    if kind == "image":
        return engine.images.inspect
    if kind == "network":
        return engine.networks.inspect
    if kind == "volume":
        return engine.volumes.inspect

    def any_of_them(name: str) -> dict[str, Any]:
        try:
            return engine.containers.inspect(name)
        except NotFound:
            pass  # an image may have that name
        try:
            return engine.images.inspect(name)
        except (NotFound, Unsupported, InvalidInput):
            pass  # a network or a volume may, one with capital letters too
        try:
            return engine.networks.inspect(name)
        except (NotFound, InvalidInput):
            pass  # a volume may
        try:
            return engine.volumes.inspect(name)
        except NotFound:
            raise NotFound(f"No such object: {name}") from None

    return any_of_them

"""`docker inspect`: all that is known of a container or an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from dockmagic.commands.options.flags import Arguments, Parser, WrongUsage, switch, value
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, Unsupported

if TYPE_CHECKING:
    from dockmagic.commands.gotemplate.template import Template
    from dockmagic_runtime import EngineApi
    from dockmagic_runtime.wire.go import GoStruct


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
        return _indented(self.objects)

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


class Found(NamedTuple):
    """An object's document and its kind: "container", "image", "network" or "volume"."""

    kind: str
    document: dict[str, Any]


Find = Callable[[str], Found]


def run(engine: EngineApi, arguments: Arguments) -> Inspected:
    find = _finder(engine, arguments.flag("type"))
    if arguments.flag("size"):
        find = sized(engine, find)
    return inspect_each(find, arguments.words, arguments.flag("format"))


def finder(kind: str, inspect: Callable[[str], dict[str, Any]]) -> Find:
    """What finds objects of one kind."""
    return lambda name: Found(kind, inspect(name))


def sized(engine: EngineApi, find: Find) -> Find:
    """With SizeRw and SizeRootFs, of a container."""

    def with_size(name: str) -> Found:
        kind, document = find(name)
        if kind == "container":
            size = engine.containers.size(document["Id"])
            document = {**document, "SizeRw": size.writable, "SizeRootFs": size.root}
        return Found(kind, document)

    return with_size


def inspect_each(find: Find, names: Sequence[str], format: str) -> Inspected:
    """Of each name what `find` says; one that fails does not keep the next from its turn."""
    template = _template(format)
    inspected: list[tuple[str, Found]] = []
    failed: list[DockmagicError] = []
    for name in names:
        try:
            kind, document = find(name)
            inspected.append((name, Found(kind, _complete(kind, document))))
        except DockmagicError as error:
            failed.append(error)
    printed = _printed([hit for _, hit in inspected], template, format, failed)
    objects = tuple(hit.document for _, hit in inspected)
    return Inspected(tuple(name for name, _ in inspected), objects, printed, tuple(failed))


def _template(format: str) -> Template | None:
    if format in ("", "json"):
        return None
    from dockmagic.commands.gotemplate.template import Template

    try:
        return Template(format)
    except InvalidInput as error:
        raise WrongUsage(error.message, verb="inspect", hint=error.hint, exit_code=64) from None


def _printed(
    objects: list[Found], template: Template | None, format: str, failed: list[DockmagicError]
) -> tuple[str, ...] | None:
    """What the format makes of each; as in Docker, the first error of a template is the last."""
    if not format:
        return None
    if template is None:
        from dockmagic.commands.gotemplate.encode import as_json

        return (f"[{','.join(as_json(_typed(*hit)) for hit in objects)}]",)
    lines: list[str] = []
    for hit in objects:
        try:
            lines.append(_rendered(template, hit))
        except InvalidInput as error:
            failed.append(error)
            break
    return tuple(lines) or ("",)


def _rendered(template: Template, hit: Found) -> str:
    """On the typed value; where that fails, on the document, as Docker's client does.

    The client has no document of a volume.
    """
    try:
        return template.render(_typed(*hit))
    except InvalidInput as error:
        if hit.kind == "volume":
            raise _parsing_error(error) from None
    try:
        return template.render(hit.document, strict=True)
    except InvalidInput as error:
        raise _parsing_error(error) from None


def _indented(objects: object) -> str:
    try:
        return msgspec.json.format(msgspec.json.encode(objects), indent=4).decode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        import json

        return json.dumps(objects, indent=4, ensure_ascii=False)


def _parsing_error(error: InvalidInput) -> InvalidInput:
    failure = InvalidInput(f"template parsing error: {error.message}", hint=error.hint)
    failure.exit_code = 1
    return failure


_TYPES: Final = {
    "container": "InspectResponse", "image": "InspectResponse", "network": "Inspect",
    "volume": "Volume",
}  # fmt: skip


def _typed(kind: str, document: dict[str, Any]) -> GoStruct:
    from dockmagic_runtime.wire import go

    kind_type: type[GoStruct] = getattr(
        import_module(f"dockmagic_runtime.wire.{kind}"), _TYPES[kind]
    )
    return go.decode(kind_type, document)


def _complete(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """With every field of its type, in Docker's order."""
    from dockmagic_runtime.wire import go

    return go.document(_typed(kind, document))


def _finder(engine: EngineApi, kind: str) -> Find:
    finders: dict[str, Find] = {
        "container": lambda name: Found("container", engine.containers.inspect(name)),
        "image": lambda name: Found("image", engine.images.inspect(name)),
        "network": lambda name: Found("network", engine.networks.inspect(name)),
        "volume": lambda name: Found("volume", engine.volumes.inspect(name)),
    }
    if kind:
        return finders[kind]

    def any_of_them(name: str) -> Found:
        for find in finders.values():
            try:
                return find(name)
            except (NotFound, Unsupported, InvalidInput):
                continue  # an object of the next kind may have that name
        raise NotFound(f"No such object: {name}")

    return any_of_them

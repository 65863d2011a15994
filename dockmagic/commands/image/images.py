"""`docker images`: images, one row a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.image.images_tree import ImagesTree, check_alone
from dockmagic.commands.options.filters import apply, as_boolean, as_moment, has_label, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, switch, values
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.references import repository_and_tag
from dockmagic.commands.units import decimal_size, moment, timestamp
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.times import ago

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="images",
        usage="[OPTIONS] [REPOSITORY[:TAG]]",
        summary="List images",
        maximum=1,
        flags=(
            switch("all", "a", "Show all images (default hides intermediate images)"),
            values(
                "filter",
                "f",
                "Filter output based on conditions provided",
                type="filter",
                convert=parse_filter,
            ),
            LIST_FORMAT,
            switch("no-trunc", help="Don't truncate output"),
            switch("quiet", "q", "Only show image IDs"),
            switch("digests", help="Show digests"),
            switch("tree", help="List multi-platform images as a tree (EXPERIMENTAL)"),
        ),
    )


class Images(Listing, frozen=True, kw_only=True):
    """The rows of `docker images`; `items` are the engine's `Image` values, once for each tag."""

    go_type: ClassVar[str] = "*formatter.imageContext"
    columns: ClassVar[tuple[Column, ...]] = (
        stable_column("Repository", "REPOSITORY"),
        stable_column("Tag", "TAG"),
        Column("ID", "IMAGE ID"),
        Column("CreatedSince", "CREATED"),
        Column("Size", "SIZE"),
    )
    headings: ClassVar[dict[str, str]] = {"CreatedAt": "CREATED AT"}
    raw: ClassVar[tuple[tuple[str, str], ...]] = (
        ("repository", "Repository"), ("tag", "Tag"), ("image_id", "ID"),
        ("created_at", "CreatedAt"), ("virtual_size", "VirtualSize"),
    )  # fmt: skip

    items: tuple[Image, ...]

    def stable_columns(self) -> list[tuple[str, str]]:
        """With a column for what is a stand-in, if anything is."""
        columns = [(column.heading, column.stable) for column in self.columns if column.stable]
        stand_in = any(image.is_stand_in for image in self.items)
        return [*columns, ("NOTE", "_note")] if stand_in else columns

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "repository": row["Repository"],
                "tag": row["Tag"],
                "id": image.short_id,
                "created": moment(image.created),
                "size": image.size,
                "layers": len(image.diff_ids),
                "stand_in": image.is_stand_in,
            }
            for image, row in zip(self.items, self.fields, strict=True)
        ]


class ImagesWithDigests(Images, frozen=True, kw_only=True):
    """The same with one column more: the digest of what a registry has under that name."""

    columns: ClassVar[tuple[Column, ...]] = (
        *Images.columns[:2],
        Column("Digest", "DIGEST"),
        *Images.columns[2:],
    )
    raw: ClassVar[tuple[tuple[str, str], ...]] = (
        *Images.raw[:2], ("digest", "Digest"), *Images.raw[2:],
    )  # fmt: skip


def run(engine: EngineApi, arguments: Arguments) -> Images | ImagesTree:
    in_full = arguments.flag("no-trunc")
    if arguments.flag("tree"):
        check_alone(arguments)
    asked = list(arguments.flag("filter"))
    if any(arguments.words):
        asked.append(("reference", arguments.words[0]))
    rows = _rows(engine, arguments.flag("all"), asked)
    if arguments.flag("tree"):
        return ImagesTree.of(engine, [image for image, _ in rows], all=arguments.flag("all"))
    with_digests = arguments.flag("digests")
    is_wanted = with_digests or "Digest" in arguments.flag("format")
    digests = _digests(engine, [image for image, _ in rows]) if is_wanted else {}
    kind = ImagesWithDigests if with_digests else Images
    return kind(
        items=tuple(image for image, _ in rows),
        fields=tuple(row_fields(image, tag, digests, in_full=in_full) for image, tag in rows),
        format=arguments.flag("format"),
        quiet=arguments.flag("quiet"),
        in_full=in_full,
    )


def _digests(engine: EngineApi, images: list[Image]) -> dict[tuple[str, str], str]:
    """By image and repository."""
    return {
        (image.id, repository): digest
        for image in images
        for text in engine.images.inspect(image.id)["RepoDigests"]
        for repository, _, digest in [text.partition("@")]
    }


Row = tuple[Image, str]  # an image and the one of its tags that this row is about


def _rows(engine: EngineApi, every: bool, asked: list[tuple[str, str]]) -> list[Row]:
    rows = [(image, tag) for image in engine.images.list(all=every) for tag in image.tags or ("",)]
    known = {
        "dangling": lambda row, text: (not row[0].tags) is as_boolean("dangling", text),
        "label": lambda row, text: has_label(row[0].config.labels, text),
        "reference": lambda row, text: _matches(row[1], text),
        "before": lambda row, text: row[0].created < engine.images.get(text).created,
        "since": lambda row, text: row[0].created > engine.images.get(text).created,
        "until": lambda row, text: row[0].created < as_moment("until", text),
    }
    return apply(rows, asked, known)


def _matches(tag: str, pattern: str) -> bool:
    """Docker's reference filter: Go's `path.Match`, of the name with its tag or without."""
    from dockmagic_runtime.dockerfile.gopattern import BadPattern, match

    if not tag:
        return False
    repository, version = repository_and_tag(tag)
    try:
        return match(pattern, f"{repository}:{version}") or match(pattern, repository)
    except BadPattern:
        raise InvalidInput("syntax error in pattern") from None


def row_fields(
    image: Image, tag: str, digests: dict[tuple[str, str], str], *, in_full: bool
) -> Fields:
    repository, version = repository_and_tag(tag) if tag else ("<none>", "<none>")
    return {
        "Repository": repository,
        "Tag": version,
        "ID": image.id if in_full else image.short_id,
        "Digest": digests.get((image.id, repository), "<none>"),
        "CreatedSince": ago(image.created),
        "CreatedAt": timestamp(image.created),
        "Size": decimal_size(image.size),
        "Containers": "N/A",  # as Docker has it: only 'system df' counts these
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "VirtualSize": decimal_size(image.size),
        "_note": "stand-in" if image.is_stand_in else "",
    }

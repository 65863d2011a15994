"""Tables of things: Docker's columns, `--format`, `--quiet`, and rows for pandas.

An `Item` is one row with every field that a template may ask for, in Docker's names. Its columns
are declared once; those that differ from run to run are marked, and the stable form of the table
leaves them out unless the caller asked for them by a flag.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from dockmagic.commands.output.result import Chunk, Result, notice
from dockmagic.commands.output.table import layout
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic.commands.gotemplate.types import Context

Fields = dict[str, Any]


class Column(Struct, frozen=True):
    """One column: the field it shows, its heading, and the field of its stable form, if any.

    `stable` is another field's name, or empty for a column that the stable form leaves out.
    """

    field: str
    heading: str
    stable: str = ""


def stable_column(field: str, heading: str) -> Column:
    """A column that is the same from run to run."""
    return Column(field, heading, field)


class Listing(Result, frozen=True, kw_only=True):
    """Rows of fields, and how they were asked to be shown."""

    columns: ClassVar[tuple[Column, ...]] = ()
    headings: ClassVar[dict[str, str]] = {}  # of fields that are in no column by default
    id_field: ClassVar[str] = "ID"
    go_type: ClassVar[str] = "*formatter.Context"  # the type that a template's error names
    raw: ClassVar[tuple[tuple[str, str], ...]] = ()  # label and field of `--format raw`

    items: tuple[Any, ...]
    fields: tuple[Fields, ...]
    format: str = ""
    quiet: bool = False
    in_full: bool = False  # the caller wants ids and the like in a notebook too

    def text(self) -> str:
        if self.quiet and not self.format:
            return "\n".join(str(row[self.id_field]) for row in self.fields)
        if self.format and self.format != "table":
            return self._formatted()
        return self._table([(column.heading, column.field) for column in self.columns])

    @property
    def has_empty_lines(self) -> bool:
        return bool(self.format and self.fields)

    def chunks(self) -> Iterator[Chunk]:
        """The table, and a warning for each damaged object in it."""
        yield from super().chunks()
        for item in self.items:
            if damage := getattr(item, "damage", ""):
                yield notice(f"WARNING: {item.name}: {damage}")

    def stable(self) -> str:
        if self.quiet or self.format or self.in_full:
            return self.text()
        return self._table(self.stable_columns())

    def stable_columns(self) -> list[tuple[str, str]]:
        """Heading and field of each column that is the same from run to run."""
        return [(column.heading, column.stable) for column in self.columns if column.stable]

    def noted(self) -> str:
        """The table with what Docker has no column for: notes, where there are any."""
        known = {column.field for column in self.columns}
        notes = [pair for pair in self.stable_columns() if pair[1] == "_note"]
        if self.quiet or self.format or not notes or "_note" in known:
            return self.text()
        return self._table([*((c.heading, c.field) for c in self.columns), *notes])

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Numbers as numbers and times as times, which the texts of a table are not."""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]

    def _table(self, columns: Sequence[tuple[str, str]]) -> str:
        head = [heading for heading, _ in columns]
        return layout([head, *([str(row[field]) for _, field in columns] for row in self.fields)])

    def _formatted(self) -> str:
        text = self.format
        if text == "json":
            text = "{{json .}}"
        if text == "raw" and self.raw:
            return "\n".join(map(self._raw, self.fields))
        is_table = text.startswith("table")
        # The shell leaves \\t as two characters; Docker reads them as one, in every format.
        text = text.removeprefix("table").strip(" ").replace("\\t", "\t").replace("\\n", "\n")
        if text == "{{json .}}":  # no template is needed
            from dockmagic.commands.gotemplate.encode import as_json

            return "\n".join(as_json(self._context(row)) for row in self.fields)
        from dockmagic.commands.gotemplate.template import Template

        template = Template(text)
        try:
            lines = [template.render(self._context(row)) for row in self.fields]
        except InvalidInput as error:
            message = f"template parsing error: {error.message}"
            raise InvalidInput(message, hint=error.hint) from None
        if not is_table:
            return "\n".join(lines)
        head = template.render_heading(self._heading_values())
        return layout([line.split("\t") for line in (head, *lines)])

    def _context(self, row: Fields) -> Context:
        """A row as templates see it: without the fields that only the stable form has."""
        from dockmagic.commands.gotemplate.types import Context

        public = {name: text for name, text in row.items() if not name.startswith("_")}
        return Context(public, self.go_type)

    def _raw(self, row: Fields) -> str:
        names = [pair for pair in self.raw if not self.quiet or pair[1] == self.id_field]
        lines = (f"{label}: {row[field]}".removesuffix(" ") for label, field in names)
        return "\n".join(lines) + ("" if self.quiet else "\n")

    def _heading_values(self) -> Fields:
        known = {column.field: column.heading for column in self.columns} | self.headings
        names = self.fields[0] if self.fields else known
        headings = {name: known.get(name, name.upper()) for name in {**known, **names}}
        return {**headings, "Label": label_heading}


def label_heading(key: str) -> str:
    """The heading of a label's column: the last part of its name."""
    return key.rpartition(".")[2].replace("-", " ").replace("_", " ")


def label_lookup(labels: dict[str, str]) -> Callable[[str], str]:
    """The template method `.Label "key"`."""

    def label(key: str) -> str:
        return labels.get(key, "")

    return label

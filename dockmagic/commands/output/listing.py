"""Tables of things: Docker's columns, `--format`, `--quiet`, and rows for pandas.

An `Item` is one row with every field that a template may ask for, in Docker's names. Its columns
are declared once; those that differ from run to run are marked, and the stable form of the table
leaves them out unless the caller asked for them by a flag.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import layout
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic.commands.gotemplate.template import Template

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

    def stable(self) -> str:
        if self.quiet or self.format or self.in_full:
            return self.text()
        return self._table(self.stable_columns())

    def stable_columns(self) -> list[tuple[str, str]]:
        """Heading and field of each column that is the same from run to run."""
        return [(column.heading, column.stable) for column in self.columns if column.stable]

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
        from dockmagic.commands.gotemplate.template import Template

        text = "{{json .}}" if self.format == "json" else self.format
        # The shell leaves \\t as two characters; Docker reads them as one, in every format.
        text = text.replace("\\t", "\t").replace("\\n", "\n")
        if text == "{{json .}}":
            return "\n".join(_as_json(_public(row)) for row in self.fields)
        template = Template(text.removeprefix("table ").strip(" "))
        if not text.startswith("table "):
            return "\n".join(self._rendered(template, row) for row in self.fields)
        rows = [self._headings(), *self.fields]
        lines = (self._rendered(template, row) for row in rows)
        return layout([line.split("\t") for line in lines])

    def _rendered(self, template: Template, row: Fields) -> str:
        from dockmagic.commands.gotemplate.values import Context

        try:
            return template.render(Context(_public(row), self.go_type))
        except InvalidInput as error:
            message = f"template parsing error: {error.message}"
            raise InvalidInput(message, hint=error.hint) from None

    def _headings(self) -> Fields:
        known = {column.field: column.heading for column in self.columns} | self.headings
        names = self.fields[0] if self.fields else known
        return {name: _heading(name, known) for name in {**known, **names}}


def _public(row: Fields) -> Fields:
    """Without the fields that only the stable form has."""
    return {name: text for name, text in row.items() if not name.startswith("_")}


def _as_json(row: Fields) -> str:
    """A whole row as Go writes it: by name, and safe to stand in HTML."""
    from dockmagic.commands.gotemplate.values import as_json

    text = as_json({name: row[name] for name in sorted(row) if not callable(row[name])})
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _heading(name: str, known: dict[str, str]) -> Any:
    if name == "Label":
        return _label_heading
    return known.get(name, name.upper())


def _label_heading(key: str) -> str:
    return key.rpartition(".")[2]


def label_lookup(labels: dict[str, str]) -> Callable[[str], str]:
    """The template method `.Label "key"`."""

    def label(key: str) -> str:
        return labels.get(key, "")

    return label

"""What two images share: the answer of `dockmagic layers IMAGE IMAGE`."""

from __future__ import annotations

from typing import Any, ClassVar

from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.table import ellipsis
from dockmagic.commands.output.text_tree import printable
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.model.analysis import Sharing
from dockmagic_runtime.model.image import Layer

Row = tuple[str, int, Layer]  # the owner ("both" or a name), its number there, the layer


class SharedLayers(Listing, frozen=True, kw_only=True):
    """A row for each layer: first those that both images have, then each one's own."""

    columns: ClassVar[tuple[Column, ...]] = (
        stable_column("In", "IN"),
        stable_column("Number", "#"),
        Column("ID", "LAYER"),
        Column("Size", "SIZE"),
        stable_column("CreatedBy", "CREATED BY"),
    )

    items: tuple[Row, ...]
    sharing: Sharing
    names: tuple[str, str]
    as_json: bool = False

    @classmethod
    def of(cls, sharing: Sharing, names: tuple[str, str], *, as_json: bool) -> SharedLayers:
        common = len(sharing.common)
        items: tuple[Row, ...] = (
            *(("both", n, layer) for n, layer in enumerate(sharing.common, 1)),
            *((names[0], n, layer) for n, layer in enumerate(sharing.only_first, common + 1)),
            *((names[1], n, layer) for n, layer in enumerate(sharing.only_second, common + 1)),
        )
        fields = tuple(_fields(row) for row in items)
        return cls(items=items, fields=fields, sharing=sharing, names=names, as_json=as_json)

    def text(self) -> str:
        if self.as_json:
            return self.json()
        return f"{Listing.text(self)}\n\n{self.sum_up()}"

    def stable(self) -> str:
        if self.as_json:
            return self.json()
        return self._table(self.stable_columns())

    def sum_up(self) -> str:
        """One sentence: what is on disk once."""
        sharing = self.sharing
        own = [
            sum(layer.size for layer in part) for part in (sharing.only_first, sharing.only_second)
        ]
        layers = f"{len(sharing.common)} layer{'' if len(sharing.common) == 1 else 's'}"
        return (
            f"shared: {decimal_size(sharing.shared_bytes)} in {layers}; "
            f"{self.names[0]} has {decimal_size(own[0])} of its own, "
            f"{self.names[1]} {decimal_size(own[1])}"
        )

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "in": where,
                "number": number,
                "id": layer.chain_id.removeprefix("sha256:")[:12],
                "created_by": layer.created_by,
                "size": layer.size,
            }
            for where, number, layer in self.items
        ]

    def json(self) -> str:
        """All of it as one document."""
        from json import dumps

        document = {
            "Images": [self.sharing.first.id, self.sharing.second.id],
            "SharedBytes": self.sharing.shared_bytes,
            "Layers": [
                {
                    "In": where,
                    "Number": number,
                    "ID": layer.chain_id,
                    "CreatedBy": layer.created_by,
                    "Size": layer.size,
                }
                for where, number, layer in self.items
            ],
        }
        return dumps(document, indent=4)


def _fields(row: Row) -> Fields:
    where, number, layer = row
    return {
        "In": where,
        "Number": str(number),
        "ID": layer.chain_id.removeprefix("sha256:")[:12],
        "Size": decimal_size(layer.size),
        "CreatedBy": ellipsis(printable(" ".join(layer.created_by.split())), 60),
    }

"""Where a storage driver keeps an image or a container, in Docker's Engine API."""

from __future__ import annotations

from typing import ClassVar

from dockmagic_runtime.wire.go import GoStruct


class DriverData(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "storage.DriverData"

    Data: dict[str, str] | None = None
    Name: str = ""

"""`VolumeStore`: a volume is the directory `volumes/<name>/_data` and nothing else."""

from __future__ import annotations

import os
import re
import secrets
import shutil

from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.store.area import Area

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class VolumeStore:
    def __init__(self, area: Area) -> None:
        self._area = area

    def ensure(self, name: str) -> str:
        """The data directory of the volume `name`, made if it is missing. Idempotent."""
        self._check(name)
        data = self._area.volumes / name / "_data"
        data.parent.mkdir(mode=0o701, exist_ok=True)
        data.mkdir(mode=0o755, exist_ok=True)
        return str(data)

    def create_anonymous(self) -> str:
        """A new volume with a name of 64 hex digits; its name."""
        name = secrets.token_hex(32)
        self.ensure(name)
        return name

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(entry.name for entry in os.scandir(self._area.volumes)))

    def remove(self, name: str) -> None:
        """Remove the volume with all its data. Raises NotFound."""
        self._check(name)
        path = self._area.volumes / name
        if not path.is_dir():
            raise NotFound(f"get {name}: no such volume")
        shutil.rmtree(path)  # walks by descriptor and follows no link

    @staticmethod
    def _check(name: str) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f'"{name}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
                hint="for a directory of the host, use an absolute path",
            )

"""`volume.json`, the description of a volume beside its data.

A directory without this file is a volume too: of a data root that is older than the file, or after
the loss of the file. Its name alone then says whether it is anonymous.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.volume import ANONYMOUS_LABEL, Volume
from dockmagic_runtime.store.atomic import write_file

FILE: Final = "volume.json"
DATA: Final = "_data"
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_RANDOM: Final = re.compile(r"[0-9a-f]{64}")


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The file's contents."""

    created: float
    driver: str = "local"
    labels: dict[str, str] = {}
    options: dict[str, str] = {}


def check_name(name: str) -> None:
    """Raises InvalidInput, in Docker's words, for a name that cannot be a volume's."""
    if len(name) == 1:
        raise InvalidInput(
            f"create {name}: volume name is too short, "
            "names should be at least two alphanumeric characters"
        )
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def write(directory: Path, description: Description) -> None:
    """Writes the description of the volume at `directory`."""
    # labels and options are nowhere else; a name and a time can be guessed
    sync = bool(description.labels.keys() - {ANONYMOUS_LABEL} or description.options)
    write_file(str(directory / FILE), msgspec.json.encode(description), sync=sync)


def _description(directory: Path) -> Description | None:
    try:
        return _DECODER.decode((directory / FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _guess(name: str, created: float) -> Description:
    labels = {ANONYMOUS_LABEL: ""} if _RANDOM.fullmatch(name) else {}
    return Description(created=created, labels=labels)


def read(directory: Path) -> Volume | None:
    """The volume at `directory`; None when there is none."""
    description = _description(directory)
    if description is None:
        try:
            created = (directory / DATA).stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
        # read again: the volume may have been created between the two
        description = _description(directory) or _guess(directory.name, created)
    return Volume(
        name=directory.name,
        mountpoint=str(directory / DATA),
        created=description.created,
        driver=description.driver,
        labels=description.labels,
        options=description.options,
    )


_DECODER: Final = msgspec.json.Decoder(Description)


def inspect(volume: Volume) -> dict[str, Any]:
    """Docker's JSON of a volume."""
    return {
        "CreatedAt": _rfc3339(volume.created),
        "Driver": volume.driver,
        "Labels": volume.labels or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": volume.scope,
    }


def _rfc3339(seconds: float) -> str:
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    return (
        text.removesuffix("+0000") + "Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"
    )

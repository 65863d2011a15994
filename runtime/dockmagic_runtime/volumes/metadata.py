"""`volume.json`, the description of a volume beside its data.

A directory without this file is a volume too: of a data root that is older than the file, or after
the loss of the file. Its name alone then says whether it is anonymous.
"""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.volume import ANONYMOUS_LABEL, Volume
from dockmagic_runtime.store.atomic import write_file

FILE: Final = "volume.json"
DATA: Final = "_data"
_NAME: Final = r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"
_RANDOM: Final = r"[0-9a-f]{64}"


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
    if not re.fullmatch(_NAME, name):
        raise InvalidInput(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


def is_name(name: str) -> bool:
    return re.fullmatch(_NAME, name) is not None


def write(directory: Path, description: Description) -> None:
    """Writes the description of the volume at `directory`."""
    # labels and options are nowhere else; a name and a time can be guessed
    sync = bool(description.labels.keys() - {ANONYMOUS_LABEL} or description.options)
    write_file(str(directory / FILE), msgspec.json.encode(description), sync=sync)


def read(directory: Path) -> Volume | None:
    """The volume at `directory`; None when there is none."""
    description, damage = _description(directory)
    created = _created(directory)
    if description is None and created is None:
        return None
    if description is None and not damage:  # the volume may have been created meanwhile
        description, damage = _description(directory)
    if created is None and not directory.is_dir():
        return None  # removed meanwhile
    if created is None:
        damage = "; ".join(filter(None, (damage, f"{DATA} is missing: its data are lost")))
    description = description or _guess(directory.name, created or 0.0)
    return Volume(
        name=directory.name,
        mountpoint=str(directory / DATA),
        created=description.created,
        driver=description.driver,
        labels=description.labels,
        options=description.options,
        damage=damage,
    )


def _created(directory: Path) -> float | None:
    """When the data directory was last changed; None without one."""
    try:
        status = (directory / DATA).stat()
    except OSError:
        return None
    return status.st_mtime if stat.S_ISDIR(status.st_mode) else None


def _description(directory: Path) -> tuple[Description | None, str]:
    """The description, if it can be read, and why it cannot, unless there is no file."""
    try:
        data = (directory / FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except OSError as error:
        return None, _damage(f"cannot be read ({os.strerror(error.errno or 0).lower()})")
    try:
        description = _DECODER.decode(data)
    except msgspec.MsgspecError:  # UnicodeDecodeError is a ValueError too
        return None, _damage("is damaged" if data else "is empty")
    except ValueError:
        return None, _damage("is damaged")
    return description, ""


def _damage(what: str) -> str:
    return f"{FILE} {what}: its labels, options and time of creation are lost"


def _guess(name: str, created: float) -> Description:
    labels = {ANONYMOUS_LABEL: ""} if re.fullmatch(_RANDOM, name) else {}
    return Description(created=created, labels=labels)


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
        **({"Status": {"Damage": volume.damage}} if volume.damage else {}),
    }


def _rfc3339(seconds: float) -> str:
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    return (
        text.removesuffix("+0000") + "Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"
    )

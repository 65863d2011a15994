"""`--user` and `--group-add`, resolved against the container's own /etc/passwd and /etc/group.

Text is parsed; NSS is never asked: its modules would come from the container (CVE-2019-14271).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.root import Root

# Docker's bounds: an id that wraps in the kernel would become root (CVE-2024-40635)
_MAXIMUM_ID: Final = 2**31 - 1
_FILE_LIMIT: Final = 16 * 1024 * 1024


class Identity(Struct, frozen=True):
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve(root: Root, user: str, extra_groups: tuple[str, ...] = ()) -> Identity:
    """The ids for `user` ("", "name", "1000", "name:group", "1000:1000").

    Raises InvalidInput for a name that the container's files do not have and for an id out of
    range. Supplementary groups come from /etc/group only when no group was given (as in Docker).
    """
    passwd = _table(root, "/etc/passwd", 7)
    group = _table(root, "/etc/group", 4)
    user_part, _, group_part = user.partition(":")
    row = _find(passwd, user_part or "0", number_field=2)
    if row is not None:
        uid, gid = _number(row[2], "user", "passwd"), _number(row[3], "group", "passwd")
        home, name = row[5], row[0]
    else:
        uid, gid, home, name = _number(user_part or "0", "user", "passwd"), 0, "/", ""
    named = [] if group_part or not name else [g for g in group if name in g[3].split(",")]
    groups = [_number(row[2], "group", "group") for row in named]
    if group_part:
        gid = _group_id(group, group_part)
    groups += [_group_id(group, extra) for extra in extra_groups]
    return Identity(uid, gid, tuple(dict.fromkeys((gid, *groups))), home or "/")


def _group_id(table: list[list[str]], name: str) -> int:
    row = _find(table, name, number_field=2)
    return _number(name if row is None else row[2], "group", "group")


def _number(text: str, what: str, file: str) -> int:
    if not _is_number(text.removeprefix("-")):
        raise InvalidInput(f"unable to find {what} {text}: no matching entries in {file} file")
    if not 0 <= int(text) <= _MAXIMUM_ID:
        raise InvalidInput(f"uids and gids must be in range 0-{_MAXIMUM_ID}", hint=f"not {text}")
    return int(text)


def _find(table: list[list[str]], wanted: str, *, number_field: int) -> list[str] | None:
    """The row by name; a number that is no row's name is looked for among the ids."""
    by_name = next((row for row in table if row[0] == wanted), None)
    if by_name is not None or not _is_number(wanted):
        return by_name
    return next((row for row in table if row[number_field] == str(int(wanted))), None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _table(root: Root, path: str, columns: int) -> list[list[str]]:
    """The rows of a file; none if it cannot be read or is too large: then no name is found, and
    numbers are taken as they are."""
    try:
        text = root.read(path, limit=_FILE_LIMIT).decode("utf-8", "surrogateescape")
    except OSError:
        return []
    rows = [line.split(":") for line in text.split("\n")]
    return [row for row in rows if len(row) >= columns and _is_number(row[2])]

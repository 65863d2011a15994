"""Where a file of an image comes from: the answer of `dockmagic layers --file PATH IMAGE`."""

from __future__ import annotations

import stat
from typing import Any

from msgspec import to_builtins

from dockmagic.commands.output.result import Result
from dockmagic.commands.output.text_tree import printable
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.model.analysis import FileOrigin, FileVersion

_WORDS = {"A": "added", "C": "changed", "D": "removed"}


class FileHistory(Result, frozen=True):
    """One version of the file for each layer that touches it, lowest first."""

    origin: FileOrigin
    image: str
    as_json: bool = False

    def text(self) -> str:
        if self.as_json:
            return self.json()
        return "\n".join([self.head(), *self._versions(stable=False)])

    def stable(self) -> str:
        if self.as_json:
            return self.json()
        return "\n".join([self.head(), *self._versions(stable=True)])

    def head(self) -> str:
        """Where the path leads, and which layer it is seen from."""
        origin = self.origin
        path = printable(origin.path)
        leads = "" if origin.real_path == origin.path else f" is {printable(origin.real_path)}"
        if origin.visible is None:
            return f"{path}{leads}: not in the image, a layer removed it"
        return f"{path}{leads}: from layer {origin.visible.layer} of {len(origin.image.diff_ids)}"

    def _versions(self, *, stable: bool) -> list[str]:
        lines: list[str] = []
        for version in self.origin.versions:
            instruction = printable(" ".join(version.created_by.split())) or "(unknown)"
            lines.append(f"{version.kind} layer {version.layer}  {instruction}")
            if facts := describe(version, stable=stable):
                lines.append(f"    {facts}")
            lines += [f"    {printable(line)}" for line in version.diff]
        return lines

    def rows(self) -> list[dict[str, Any]]:
        rows = [to_builtins(version) for version in self.origin.versions]
        for row in rows:
            row["diff"] = "\n".join(row["diff"])
        return rows

    def json(self) -> str:
        """All of it as one document."""
        from json import dumps

        origin = self.origin
        document = {
            "Image": origin.image.id,
            "Path": origin.path,
            "RealPath": origin.real_path,
            "Versions": [_version_json(version) for version in origin.versions],
        }
        return dumps(document, indent=4)


def word(version: FileVersion) -> str:
    """What a layer did to the path."""
    return _WORDS[version.kind]


def describe(version: FileVersion, *, stable: bool) -> str:
    """Type, mode, owner, size and contents of one version; `stable` leaves out what may vary."""
    if version.kind == "D":
        return ""
    facts = [version.type, stat.filemode(version.mode)[1:], f"{version.uid}:{version.gid}"]
    if version.target:
        facts.append(f"-> {printable(version.target)}")
    if version.type == "file" and not stable:
        facts.append(decimal_size(version.size))
        facts.append(version.digest[:19] or "too large for a digest")
    return "  ".join(facts)


def _version_json(version: FileVersion) -> dict[str, Any]:
    return {
        "Layer": version.layer,
        "Kind": version.kind,
        "CreatedBy": version.created_by,
        "Type": version.type,
        "Mode": f"{version.mode:04o}",
        "Uid": version.uid,
        "Gid": version.gid,
        "Size": version.size,
        "Modified": version.modified,
        "Digest": version.digest,
        "Target": version.target,
        "Diff": list(version.diff),
    }

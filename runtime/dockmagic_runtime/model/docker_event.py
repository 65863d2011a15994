"""`Event`: an entry of `docker events`: one thing that happened to one object of the area.

Not to be confused with `model.events`, the progress that a pull or a build reports to its caller.
"""

from __future__ import annotations

import time
from typing import Any, Final

from msgspec import Struct, field

_NANO: Final = 1_000_000_000
# the types whose events also have Docker's three oldest keys
_WITH_STATUS: Final = ("container", "image")


class Event(Struct, frozen=True, kw_only=True):
    """`type` is "container", "image", "volume" or "network"; `id` that of the object it is about.

    `attributes` are strings by name: Docker's, and for a container or image its labels as well.
    """

    type: str
    action: str
    id: str
    attributes: dict[str, str] = field(default_factory=dict)
    time_ns: int = field(default_factory=time.time_ns)

    def to_json(self) -> dict[str, Any]:
        """Docker's object, key by key in its order."""
        return {
            **self._status(),
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.time_ns // _NANO,
            "timeNano": self.time_ns,
        }

    def _status(self) -> dict[str, str]:
        if self.type not in _WITH_STATUS:
            return {}
        image = self.attributes.get("image", "") if self.type == "container" else ""
        return {"status": self.action, "id": self.id, **({"from": image} if image else {})}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Event:
        """The event of such an object."""
        actor = values["Actor"]
        return cls(
            type=values["Type"],
            action=values["Action"],
            id=actor["ID"],
            attributes=actor["Attributes"],
            time_ns=values["timeNano"],
        )

    def __str__(self) -> str:
        """The line that `docker events` prints, in this machine's time zone."""
        line = f"{_local(self.time_ns)} {self.type} {self.action} {self.id}"
        pairs = ", ".join(f"{key}={value}" for key, value in sorted(self.attributes.items()))
        return f"{line} ({pairs})" if pairs else line


def _local(time_ns: int) -> str:
    """RFC 3339 with nine digits; UTC is Z, as Go writes it."""
    seconds, rest = divmod(time_ns, _NANO)
    moment = time.localtime(seconds)
    zone = time.strftime("%z", moment)
    offset = f"{zone[:3]}:{zone[3:]}" if moment.tm_gmtoff else "Z"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{rest:09d}{offset}"

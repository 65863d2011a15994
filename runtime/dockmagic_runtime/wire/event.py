"""Events in Docker's Engine API 1.50: `GET /events`."""

from __future__ import annotations

from typing import ClassVar

from dockmagic_runtime.wire.go import GoStruct


class EventActor(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "events.Actor"

    ID: str = ""
    Attributes: dict[str, str] | None = None


class Message(GoStruct, frozen=True, kw_only=True):
    """`time` in seconds, `timeNano` in nanoseconds since the epoch.

    Status, ID and From repeat what Type, Action and Actor say; Docker keeps them for old clients.
    """

    go_type: ClassVar[str] = "events.Message"
    json_names: ClassVar[dict[str, str]] = {
        "Status": "status",
        "ID": "id",
        "From": "from",
        "Scope": "scope",
        "Time": "time",
        "TimeNano": "timeNano",
    }
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Status", "ID", "From", "Scope", "Time", "TimeNano"}
    )

    Status: str = ""
    ID: str = ""
    From: str = ""
    Type: str = ""
    Action: str = ""
    Actor: EventActor = EventActor()
    Scope: str = ""
    Time: int = 0
    TimeNano: int = 0

"""The one place that holds an `Engine`: made at the first use, one for each process."""

from __future__ import annotations

import atexit
from _thread import allocate_lock  # the lock of `threading`, which takes a millisecond to load
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockmagic_runtime import EngineApi


class Session:
    """An engine and what it is made with. Thread-safe; closing it twice does no harm."""

    def __init__(
        self,
        *,
        root: str | None = None,
        catalogue: str = "when-unreachable",
        default_log_options: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._catalogue = catalogue
        self._default_log_options = dict(default_log_options or {})
        self._engine: EngineApi | None = None
        self._is_ours = True
        self._lock = allocate_lock()

    @property
    def engine(self) -> EngineApi:
        with self._lock:
            if self._engine is None:
                self._engine = self._make()
            return self._engine

    def engine_for(self, verb: str) -> EngineApi:
        """The engine that a command gets. `system repair` comes before a data root can be opened:
        it gets one that was repaired first."""
        if verb.replace(" ", "_") != "system_repair" or not self._is_ours:
            return self.engine_when_used
        self.close()
        with self._lock:
            self._engine = self._make(repair=True)
            return self._engine

    @property
    def engine_when_used(self) -> EngineApi:
        """The engine, opened by the first call to it: a wrong line ends before, and `completion`
        never opens it."""
        return cast("EngineApi", _WhenUsed(self))

    def _make(self, *, repair: bool = False) -> EngineApi:
        from dockmagic_runtime.engine.engine import Engine  # the first command pays, not the import

        atexit.register(self.close)
        self._is_ours = True
        return Engine(
            self._root,
            catalogue=self._catalogue,
            repair=repair,
            default_log_options=self._default_log_options,
        )

    def use(self, engine: EngineApi) -> None:
        """Use an engine that the caller has made and will close."""
        with self._lock:
            self._engine = engine
            self._is_ours = False

    def configure(
        self, *, catalogue: str, default_log_options: Mapping[str, str] | None = None
    ) -> None:
        """Another setting closes the engine; the next command makes a new one. One that the
        caller has made stays as it is."""
        settings = catalogue, dict(default_log_options or {})
        if settings != (self._catalogue, self._default_log_options):
            if self._is_ours:
                self.close()
            self._catalogue, self._default_log_options = settings

    def close(self) -> None:
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None and self._is_ours:
            atexit.unregister(self.close)
            engine.close()


class _WhenUsed:
    """Stands for a session's engine."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session.engine, name)


_current: Session | None = None


def current() -> Session:
    """The process's session."""
    global _current  # one engine a process is the point of this module
    if _current is None:
        _current = Session()
    return _current


def close_current() -> None:
    """Closes the engine of the process's session, if there is one."""
    if _current is not None:
        _current.close()

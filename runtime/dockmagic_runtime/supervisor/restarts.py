"""When a program that has ended is started again, after Docker's rules.

Source: moby restartmanager/restartmanager.go: the first wait is 100 ms, each further one twice as
long, at most a minute; a program that ran for ten seconds begins anew.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

FIRST: Final = 0.1
LONGEST: Final = 60.0
STABLE: Final = 10.0


class Restarts(Struct):
    """`policy` is "no", "always", "unless-stopped" or "on-failure"; `maximum` 0 is no limit."""

    policy: str = "no"
    maximum: int = 0
    count: int = 0
    wait: float = 0.0

    def after(self, exit_code: int, uptime: float, *, by_hand: bool) -> float | None:
        """Seconds until the next start; None when there will be none.

        `by_hand`: a client has stopped or killed it, so no policy brings it back.
        """
        if by_hand or not self._wanted(exit_code):
            return None
        is_new = uptime >= STABLE or not self.wait
        self.wait = FIRST if is_new else min(2 * self.wait, LONGEST)
        self.count += 1
        return self.wait

    def _wanted(self, exit_code: int) -> bool:
        if self.policy == "on-failure":
            return exit_code != 0 and (not self.maximum or self.count < self.maximum)
        return self.policy in ("always", "unless-stopped")

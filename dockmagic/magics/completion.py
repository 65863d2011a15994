"""Tab after `%docker`, `%%docker` and the verbs' magics: verbs, flags, and names of things."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dockmagic.session import Session

_LINE = re.compile(r"(?:.*=\s*)?%{1,2}(\w+)\s+(.*)", re.DOTALL)
_IMAGES = frozenset("run create rmi tag history layers pull".split())
_CONTAINERS = frozenset(
    "attach commit cp diff exec explain export kill logs pause port rename restart rm start stats "
    "stop top unpause update wait".split()
)


class Completer:
    """Offers names; asks the engine only when one is wanted, and is silent if it cannot say."""

    def __init__(self, session: Session, verbs: Mapping[str, tuple[str, ...]]) -> None:
        self._session = session
        self._verbs = verbs  # of the magics that stand for one
        self._matcher: Any = None

    def install(self, shell: Any) -> None:
        from IPython.core.completer import context_matcher

        def matcher(context: Any) -> Any:  # IPython sets attributes on it, as on no method
            return self._complete(context)

        self._matcher = context_matcher(identifier="dockmagic")(matcher)
        if shell.Completer is not None:
            shell.Completer.custom_matchers.append(self._matcher)

    def remove(self, shell: Any) -> None:
        if shell.Completer is not None and self._matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self._matcher)

    def _complete(self, context: Any) -> Any:
        from IPython.core.completer import SimpleCompletion

        matches = self.candidates(_relevant(context), context.token)
        completions = [SimpleCompletion(text, type=kind) for text, kind in matches]
        return {"completions": completions, "suppress": bool(completions)}

    def candidates(self, line: str, token: str) -> list[tuple[str, str]]:
        """What may stand at the end of `line`, where `token` has been typed so far."""
        match = _LINE.fullmatch(line)
        if match is None:
            return []
        name, rest = match.groups()
        words = rest.split()
        before = words[:-1] if rest and not rest[-1:].isspace() else words
        if name in self._verbs:
            before = [*self._verbs[name], *before]
        elif name == "network":
            before = ["network", *before]
        elif name != "docker":
            return []
        typed = words[-1] if words and not rest[-1:].isspace() else ""
        known = list(self._known(before, typed))
        if name == "network" and before == ["network"]:  # one of the verbs, or what to draw
            known += self._known(["network", "draw"], typed)
        matches = [(text, kind) for text, kind in known if text.startswith(typed)]
        # IPython replaces the token, which begins after the last of its own delimiters.
        cut = len(typed) - len(token) if typed.endswith(token) else 0
        return [(text[cut:], kind) for text, kind in matches]

    def _known(self, before: list[str], typed: str) -> Iterable[tuple[str, str]]:
        from dockmagic import commands
        from dockmagic_runtime.errors import DockmagicError

        words = [word for word in before if word != "docker"]
        if not words:
            return [(name, "verb") for name in commands.names()]
        if words[0] in commands.GROUPS and len(words) == 1:
            return [(name, "verb") for name in commands.GROUPS[words[0]]]
        try:
            verb = commands.resolve(words).verb
            if verb == "explain":  # as if only what follows it were written
                verb = next((word for word in words[1:] if word in ("run", "build")), verb)
            if typed.startswith("-"):
                flags = commands.parser(verb).flags
                return [(f"--{flag.name}", "flag") for flag in flags if flag.is_ours]
            return self._names(verb)
        except (DockmagicError, commands.HelpAsked):
            return []

    def _names(self, verb: str) -> Iterable[tuple[str, str]]:
        from dockmagic.commands.references import familiar

        engine = self._session.engine
        matches: list[tuple[str, str]] = []
        if verb in _IMAGES or verb in ("inspect", "explain"):
            tags = (tag for image in engine.images.list() for tag in image.tags)
            matches += [(familiar(tag), "image") for tag in tags]
        if verb in _CONTAINERS or verb == "inspect":
            matches += [
                (candidate.name, "container") for candidate in engine.containers.list(all=True)
            ]
        if verb in ("network_connect", "network_disconnect"):
            matches += [
                (candidate.name, "container") for candidate in engine.containers.list(all=True)
            ]
        if verb == "network_trace":
            ports = (
                port
                for candidate in engine.containers.list()
                for port in candidate.ports
                if port.host_port
            )
            matches += [(f"localhost:{port.host_port}", "port") for port in ports]
        elif verb.startswith("network_") and verb != "network_create":
            matches += [(candidate.name, "network") for candidate in engine.networks.list()]
        if verb in ("volume_rm", "volume_inspect"):
            matches += [(candidate.name, "volume") for candidate in engine.volumes.list()]
        return matches


def _relevant(context: Any) -> str:
    """The line up to the cursor; in a %%docker cell, as if the magic stood before it."""
    line = str(context.line_with_cursor)[: context.cursor_position]
    full = str(context.full_text)
    if full.startswith("%%docker") and not line.startswith("%"):
        return f"%docker {line}"
    return line

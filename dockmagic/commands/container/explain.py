"""`dockmagic explain`: the operations that made a container, as they were carried out.

Not one of Docker's. `explain NAME` looks back at a container's last start or an image's build,
`explain run …` and `explain build …` do what they are given and show afterwards how it came to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from shlex import join
from typing import TYPE_CHECKING, Any

from dockmagic.commands.builder import explain
from dockmagic.commands.container import run as run_verb
from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.reading import read
from dockmagic.commands.output.result import Attached, Event, Outcome, Result, Started
from dockmagic.commands.output.table import layout
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.explanation import ExplainedStep, Explanation

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

LANES = ("start process", "child", "network")


def parser() -> Parser:
    return Parser(
        verb="explain",
        usage="[OPTIONS] CONTAINER | IMAGE | run [OPTIONS] IMAGE [COMMAND...] | build [OPTIONS] .",
        summary="Show how a container was made or an image built, step by step",
        minimum=1,
        stops_at_word=True,
        flags=(
            switch("calls", help="Show the kernel's calls too"),
            switch("undo", help="Show what undoes each step too"),
        ),
        also="With run, the container is run for real, and explained when it has ended.\n"
        "The start process prepares the host and forks the child, which becomes the container;\n"
        "network is the start process again, which connects it while the child mounts.\n"
        "Of a build it tells why each step was found in the cache, or was not; build alone is\n"
        "the newest image that was built here.",
    )


class Explained(Result, frozen=True):
    """The engine's `Explanation`, and which columns were asked for."""

    explanation: Explanation
    calls: bool = False
    undo: bool = False

    @property
    def steps(self) -> tuple[ExplainedStep, ...]:
        return self.explanation.steps

    def lane(self, who: str) -> list[ExplainedStep]:
        """What one of the three did, in order."""
        return [step for step in self.steps if step.who == who]

    def short(self, step: ExplainedStep) -> str:
        """Its description; a container's id is as long as a line."""
        whole = self.explanation.container_id
        return step.text.replace(whole, f"{whole[:12]}…")

    def text(self) -> str:
        rows = [self._heading(), *map(self._row, self.steps), self._end()]
        return layout(rows)

    def _heading(self) -> list[str]:
        more = ["CALLS"] * self.calls + ["UNDO"] * self.undo
        return ["WHEN", "TOOK", "WHO", *more, "OPERATION"]

    def _row(self, step: ExplainedStep) -> list[str]:
        more = [", ".join(step.calls)] * self.calls + [step.undoing] * self.undo
        return [_ms(step.began), _ms(step.seconds), step.who, *more, self.short(step)]

    def _end(self) -> list[str]:
        more = [""] * (self.calls + self.undo)
        program = join(self.explanation.command)
        return [
            _ms(self.explanation.seconds),
            "",
            "child",
            *more,
            f"execute the program: {program}",
        ]

    def stable(self) -> str:
        """Which process did what, without the times, ids, addresses and paths of this run."""
        lines = [(who, _names(self.lane(who))) for who in LANES if self.lane(who)]
        return layout([*lines, ("program", join(self.explanation.command))])

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "began": step.began,
                "seconds": step.seconds,
                "who": step.who,
                "operation": step.name,
                "text": step.text,
                "calls": ", ".join(step.calls),
                "undo": step.undoing,
            }
            for step in self.steps
        ]

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> ExplainedStep:
        return self.steps[index]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _names(steps: list[ExplainedStep]) -> str:
    """Their names; how often, for one that comes several times in a row."""
    groups = [(name, len(list(same))) for name, same in groupby(step.name for step in steps)]
    return ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in groups)


def run(engine: EngineApi, arguments: Arguments) -> Outcome:
    first, *rest = arguments.words
    if first == "run" and rest:
        return _run(engine, arguments, read(run_verb.parser(), rest))
    if first == "build" and rest:
        return explain.explained(engine, rest)
    if rest:
        raise arguments.wrong(
            "'docker explain' explains one container or image, or what follows run or build: "
            f"{first} {rest[0]}",
            exit_code=1,
        )
    return _named(engine, first, arguments)


def _named(engine: EngineApi, name: str, arguments: Arguments) -> Outcome:
    """A container's start goes before an image's build."""
    try:
        return _explained(engine.containers.explain(name), arguments)
    except NotFound as no_container:
        try:
            if name == "build":
                return explain.explain_newest(engine)
            return explain.explain(engine, name)
        except NotFound as no_build:
            is_about_build = name == "build" or _is_image(engine, name)
            raise (no_build if is_about_build else no_container) from None


def _is_image(engine: EngineApi, name: str) -> bool:
    try:
        return bool(engine.images.get(name))
    except (NotFound, InvalidInput):
        return False


def _run(engine: EngineApi, arguments: Arguments, wanted: Arguments) -> Iterator[Event]:
    for event in run_verb.run(engine, wanted):
        if isinstance(event, Started):
            yield _explained(engine.containers.explain(event.container.id), arguments)
            return
        yield event
        if isinstance(event, Attached):
            yield _explained(engine.containers.explain_process(event.process), arguments)


def _explained(explanation: Explanation, arguments: Arguments) -> Explained:
    return Explained(explanation, arguments.flag("calls"), arguments.flag("undo"))

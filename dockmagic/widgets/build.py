"""A build, step by step: what came from the cache, what took time, and what it said."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic.commands.build import Built, Step
from dockmagic.commands.quantities import decimal_size
from dockmagic.commands.references import familiar
from dockmagic.widgets.html import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    Markup,
    badge,
    code,
    details,
    join,
    note,
    pre,
    tag,
)  # fmt: skip
from dockmagic.widgets.untrusted import plain

_OUTPUT = 2000  # characters of one step's output
_ALL_OUTPUT = 12_000


def build(result: Built, *, deterministic: bool) -> Markup:
    cached = sum(step.cached for step in result.steps)
    words = [f"{len(result.steps)} steps, {cached} from the cache"]
    if not deterministic:
        words += [f"{result.seconds:.2f} s", decimal_size(result.image.size)]
    names = ", ".join(map(familiar, result.tags)) or result.image.short_id
    head = tag("div", tag("b", names), "  ", tag("span", " · ".join(words), style=MUTED))
    warnings = [tag("div", badge("warning", ORANGE), " ", plain(w)) for w in result.warnings]
    return join([head, *warnings, steps(result.steps, deterministic=deterministic)])


def steps(
    all_steps: Sequence[Step], *, deterministic: bool = False, running: bool = False
) -> Markup:
    """One line a step; the last is still going on when `running`."""
    limit = min(_OUTPUT, _ALL_OUTPUT // max(1, len(all_steps)))
    return tag(
        "div",
        *(
            _step(
                step, limit, deterministic=deterministic, running=running and step is all_steps[-1]
            )
            for step in all_steps
        ),
        style="margin:.3em 0",
    )


def _step(step: Step, limit: int, *, deterministic: bool, running: bool) -> Markup:
    head = join(
        [
            f"{step.number}. ",
            code(plain(step.instruction)),
            " ",
            _state(step, deterministic=deterministic, running=running),
            tag("span", f" {step.reason}", style=MUTED) if step.reason and not step.cached else "",
        ]
    )
    if not step.output.strip() or deterministic:
        return tag("div", head, style="padding-left:1.1em")
    return details(head, pre(_tail(plain(step.output), limit)), opened=running)


def _state(step: Step, *, deterministic: bool, running: bool) -> Markup:
    if running:
        return badge("running", BLUE)
    if step.cached:
        return badge("cached", GREEN)
    if deterministic:
        return badge("done", BLUE)
    size = f", {decimal_size(step.size)}" if step.size else ""
    return badge(f"{step.seconds:.2f} s{size}", BLUE)


def _tail(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"… {text[-limit:]}"


def failed(all_steps: Sequence[Step]) -> Markup:
    """The steps up to the one that failed, which is shown open."""
    return join([steps(all_steps, running=True), note("the build stopped here")])

"""A build, step by step: what came from the cache, what took time, and what it said."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic.commands.builder.build import Built, Step
from dockmagic.commands.builder.checked import Checked
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size
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
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.build import BuildWarning

_OUTPUT = 2000  # characters of one step's output
_ALL_OUTPUT = 12_000


def build(result: Built, *, deterministic: bool) -> Markup:
    cached = sum(step.cached for step in result.steps)
    words = [f"{len(result.steps)} steps, {cached} from the cache"]
    if not deterministic:
        words += [f"{result.seconds:.2f} s", decimal_size(result.image.size)]
    names = ", ".join(map(familiar, result.tags)) or result.image.short_id
    head = tag("div", tag("b", names), "  ", tag("span", " · ".join(words), style=MUTED))
    drawn = steps(result.steps, deterministic=deterministic)
    return join([head, *map(_warning, result.warnings), drawn])


def checked(result: Checked, *, deterministic: bool) -> Markup:
    """What `--check` found; nothing of it differs from run to run."""
    return join([tag("div", tag("b", result.head())), *map(_warning, result.warnings)])


def _warning(warning: BuildWarning) -> Markup:
    """In one line; the line of the Dockerfile and what the rule is about unfold."""
    head = join([badge("warning", ORANGE), " ", plain(warning.text)])
    if not warning.excerpt:
        return tag("div", head)
    about = tag("a", f"about {warning.rule}", href=warning.url, target="_blank", rel="noopener")
    return details(head, pre(plain(warning.excerpt)), about if warning.url else "")


def steps(
    all_steps: Sequence[Step], *, deterministic: bool = False, running: bool = False
) -> Markup:
    """One line a step, with the number and the name that a terminal shows; those that are not
    done are still going on when `running`."""
    limit = min(_OUTPUT, _ALL_OUTPUT // max(1, len(all_steps)))
    return tag(
        "div",
        *(
            _step(step, limit, deterministic=deterministic, running=running and not step.done)
            for step in all_steps
        ),
        style="margin:.3em 0",
    )


def _step(step: Step, limit: int, *, deterministic: bool, running: bool) -> Markup:
    head = join(
        [
            f"#{step.number} ",
            code(plain(step.name)),
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

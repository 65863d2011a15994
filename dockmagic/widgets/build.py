"""A build, step by step: what came from the cache, what took time, and what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dockmagic.commands.builder.build import Built, Step
from dockmagic.commands.builder.checked import Checked
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size
from dockmagic.widgets.frame import FAILED, State, dot, frame, muted
from dockmagic.widgets.html import ORANGE, Markup, badge, code, details, join, pre, table, tag
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.build import BuildWarning

_OUTPUT = 2000  # characters of one step's output
_ALL_OUTPUT = 10_000
_LAST = 8  # lines of a step that runs
_ROWS = 60


def build(result: Built, *, deterministic: bool) -> Markup:
    cached = sum(step.cached for step in result.steps)
    count = f"{len(result.steps)} step{'' if len(result.steps) == 1 else 's'}"
    facts = [count]
    if not deterministic:
        facts = [f"{count}, {cached} from the cache"]
        facts += [duration(result.seconds), decimal_size(result.image.size)]
        facts += [result.image.short_id] if result.tags else []
    names = ", ".join(map(familiar, result.tags)) or result.image.short_id
    return frame(
        names,
        *map(_warning, result.warnings),
        steps(result.steps, deterministic=deterministic),
        state=State("run", "built", "✓"),
        facts=facts,
    )


def duration(seconds: float) -> str:
    """`12 ms`, `0.42 s`, `57.6 s`, `2 min 5 s`: three digits are enough."""
    if seconds < 0.1:
        return f"{seconds * 1e3:.{0 if seconds >= 0.01 else 1}f} ms"
    if seconds >= 60:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s"


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
    all_steps: Sequence[Step],
    *,
    deterministic: bool = False,
    running: Mapping[int, float] | None = None,
    opened: frozenset[int] = frozenset(),
) -> Markup:
    """One row a step, with the number and the name that a terminal shows.

    `running` has the seconds of those that go on; what they wrote last is below them. Those
    `opened` show what they wrote, the others unfold to it.
    """
    limit = min(_OUTPUT, _ALL_OUTPUT // max(1, len(all_steps)))
    going = running or {}
    rows = [
        [
            dot(DONE) if deterministic else _mark(step, going),
            _what(step, limit, going, deterministic=deterministic, opened=opened),
            _state(step, going, deterministic=deterministic),
        ]
        for step in all_steps
    ]
    return table(["", "", ""], rows, limit=_ROWS, numbers=frozenset([2]), lead=1)


DONE = State("run", "done", "✓")


def _mark(step: Step, running: Mapping[int, float]) -> Markup:
    if step.error:
        return dot(FAILED)
    if step.number in running:
        return dot(State("info", "running", "▶"))
    if not step.done:
        return dot(State("muted", "waiting", "·"))
    return dot(State("muted", "from the cache", "✓") if step.cached else DONE)


def _what(
    step: Step,
    limit: int,
    running: Mapping[int, float],
    *,
    deterministic: bool,
    opened: frozenset[int],
) -> Markup:
    has_reason = step.reason and not step.cached and not deterministic
    reason = muted(f" {plain(step.reason)}") if has_reason else ""
    head = join([code(plain(step.name)), reason])
    if not step.output.strip() or deterministic:
        return head
    text = plain(step.output)
    if step.number in running:
        return join([head, pre("\n".join(text.rstrip("\n").split("\n")[-_LAST:])[-limit:])])
    return details(head, pre(_tail(text, limit)), opened=step.number in opened)


def _state(step: Step, running: Mapping[int, float], *, deterministic: bool) -> Markup:
    if step.number in running:
        return join([tag("span", f"{running[step.number]:.0f} s", class_="dm-info")])
    if step.error:
        return tag("span", "failed", class_="dm-fail")
    if deterministic:
        return muted("done")
    if step.cached:
        return muted("cached")
    if not step.done:
        return muted("")
    size = f" · {decimal_size(step.size)}" if step.size else ""
    return muted(f"{duration(step.seconds)}{size}")


def _tail(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"… {text[-limit:]}"

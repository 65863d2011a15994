"""The parser as a whole: places, properties, errors as values."""

from __future__ import annotations

import pickle
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.dockerfile import (
    Dockerfile,
    DockerfileError,
    parse,
    parse_trigger,
    render,
)
from dockmagic_runtime.dockerfile.errors import listing, near
from dockmagic_runtime.dockerfile.instructions import KEYWORDS, Copy, Position, Run
from dockmagic_runtime.dockerfile.ports import parse_ports
from dockmagic_runtime.dockerfile.printer import render_instruction
from dockmagic_runtime.errors import InvalidInput


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(DockerfileError) as failure:
        parse(text)
    return [(problem.line, problem.column, problem.reason) for problem in failure.value.problems]


# --- places ------------------------------------------------------------------------------------


def test_an_error_is_at_its_line_and_column_through_continuations() -> None:
    text = "FROM a\nENV one=1 \\\n# comment\n\\\n    two=${x:=1} \\\n  three=3\n"
    assert problems(text) == [(5, 9, "unsupported modifier (:=) in substitution")]


def test_an_instruction_knows_its_lines_and_its_text() -> None:
    (stage,) = parse("FROM a\n\n  RUN one \\\n    two <<EOF\nbody\nEOF\n").stages
    (run,) = stage.instructions
    assert run.position == Position(line=3, last_line=6, column=3)
    assert run.text == "RUN one     two <<EOF"


def test_a_listing_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in listing("RUN \x1b[2J", 1, 1, "Dockerfile")
    assert listing("one line", 7, 7, "Dockerfile") == ""


def test_builder_17_a_place_is_shown_with_the_lines_around_it() -> None:
    text = "\n".join(f"line {number}" for number in range(1, 10))
    assert listing(text, 5, 5, "Dockerfile").split("\n") == [
        "Dockerfile:5",
        "--------------------",
        "   3 |     line 3",
        "   4 |     line 4",
        "   5 | >>> line 5",
        "   6 |     line 6",
        "   7 |     line 7",
        "--------------------",
    ]
    assert listing(text, 1, 2, "Dockerfile").split("\n")[2:-1] == [
        "   1 | >>> line 1",
        "   2 | >>> line 2",
        "   3 |     line 3",
    ]


def test_builder_17_all_lines_of_an_instruction_are_marked() -> None:
    with pytest.raises(DockerfileError, match=r"^dockerfile parse error on line 2: ") as failure:
        parse("FROM a\nCOPY \\\n  --form=x a b\nUSER b\n")
    assert failure.value.excerpt.split("\n")[2:-1] == [
        "   1 |     FROM a",
        "   2 | >>> COPY \\",
        "   3 | >>>   --form=x a b",
        "   4 |     USER b",
    ]


def test_builder_17_places_near_each_other_share_a_listing_and_others_do_not() -> None:
    text = "FROM a\nRUN\nRUN x\nRUN\n" + "RUN x\n" * 20 + "RUN\n"
    with pytest.raises(DockerfileError) as failure:
        parse(text)
    rows = failure.value.excerpt.split("\n")
    assert [row for row in rows if "Dockerfile" in row] == ["Dockerfile:2", "Dockerfile:25"]
    assert [row for row in rows if ">>>" in row] == [
        "   2 | >>> RUN",
        "   4 | >>> RUN",
        "  25 | >>> RUN",
    ]


def test_many_errors_are_all_there_and_not_all_drawn() -> None:
    with pytest.raises(DockerfileError) as failure:
        parse("FROM a\n" + "RUN\n" * 150)
    assert len(failure.value.problems) == 150
    assert str(failure.value).endswith("and 50 more errors")


def test_builder_17_the_error_has_a_sentence_for_every_problem_and_marks_the_lines() -> None:
    with pytest.raises(DockerfileError) as failure:
        parse("FROM a\nCOPPY x y\nRUN\n", "web.Dockerfile")
    assert str(failure.value) == (
        "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)\n"
        "dockerfile parse error on line 3: RUN requires at least one argument"
    )
    assert failure.value.excerpt == (
        "web.Dockerfile:2\n"
        "--------------------\n"
        "   1 |     FROM a\n"
        "   2 | >>> COPPY x y\n"
        "   3 | >>> RUN\n"
        "   4 |     \n"
        "--------------------"
    )
    assert isinstance(failure.value, InvalidInput)


def test_the_error_survives_being_sent_to_another_process() -> None:
    with pytest.raises(DockerfileError) as failure:
        parse("FROM a\nRUN\n")
    copy = pickle.loads(pickle.dumps(failure.value))
    assert (str(copy), copy.problems) == (str(failure.value), failure.value.problems)


def test_near_names_are_suggested_and_far_ones_are_not() -> None:
    assert near("ENTRYPIONT", KEYWORDS) == "ENTRYPOINT"
    assert near("SOMETHING", KEYWORDS) == ""
    assert near("x" * 100_000, KEYWORDS) == ""


# --- values ------------------------------------------------------------------------------------


def test_a_stage_is_found_by_name_and_by_number() -> None:
    dockerfile = parse("FROM a AS one\nFROM b AS two\nFROM c\n")
    for name, index in {"ONE": 0, "two": 1, "2": 2}.items():
        stage = dockerfile.stage(name)
        assert stage is not None
        assert stage.index == index
    assert dockerfile.stage("3") is None
    assert dockerfile.stage("none") is None


def test_a_trigger_is_one_instruction() -> None:
    position = Position(line=7, last_line=7)
    trigger = parse_trigger("RUN <<EOF\nx\nEOF", position)
    assert isinstance(trigger, Run)
    assert trigger.heredocs[0].content == "x\n"
    assert trigger.position == position
    for text in ("RUN a\nRUN b", "", "RNU x"):
        with pytest.raises(DockerfileError, match="ONBUILD trigger:1"):
            parse_trigger(text, position)


def test_heredoc_marks_in_json_are_names() -> None:
    (stage,) = parse('FROM a\nCOPY ["<<EOF", "/x"]\n').stages
    (copy,) = stage.instructions
    assert isinstance(copy, Copy)
    assert copy.heredoc("<<EOF") is None


def test_ports_and_ranges() -> None:
    assert parse_ports("80") == ("80/tcp",)
    assert parse_ports("80-82/UDP") == ("80/udp", "81/udp", "82/udp")
    assert parse_ports("8080:80") == ("80/tcp",)
    for word in ("", "x", "0", "70000", "9-8", "80/xyz", "-1", "8 0", "1-99999"):
        with pytest.raises(InvalidInput):
            parse_ports(word)


# --- properties --------------------------------------------------------------------------------

PIECES = [
    *KEYWORDS,
    *("--from=", "--chown=a", "--mount=type=", "--link", "--interval=1s", "--", "--x"),
    *(" ", "  ", "\t", "\n", "\\\n", "\\", "`", "#", "# escape=`\n", "# syntax=x\n", "\r\n"),
    *("<<EOF", "<<-'E'", "EOF\n", "E\n", "[", "]", '"', "'", ",", '["a", "b"]', "=", "a=b"),
    *("$x", "${x", "}", ":-", "a", "b c", "AS", "as n", "scratch", "NONE", "CMD", "é", "80/tcp"),
    *("\v", "\f", "\x1f", "\u2028", "\ufeff", "\ud800", "\0"),
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
lines = st.lists(
    st.tuples(st.sampled_from(KEYWORDS), st.lists(st.sampled_from(PIECES), max_size=8)), max_size=6
).map(lambda rows: "FROM a\n" + "\n".join(f"{name} {''.join(rest)}" for name, rest in rows))


def outcome(text: str) -> Dockerfile | DockerfileError:
    try:
        return parse(text)
    except DockerfileError as error:
        return error


def parsed(text: str) -> Dockerfile | None:
    document = outcome(text)
    if isinstance(document, Dockerfile):
        return document
    assert document.problems
    assert str(document)
    for problem in document.problems:
        assert 1 <= problem.line <= problem.last_line <= text.count("\n") + 1
        assert problem.column >= 1
    return None


@settings(max_examples=300, deadline=None)
@example("LABEL 0 0\n\x1f")
@given(st.one_of(st.text(), texts, lines))
def test_no_text_raises_anything_but_a_dockerfile_error(text: str) -> None:
    parsed(text)


@settings(max_examples=300, deadline=None)
@example("FROM a\nONBUILD ARG\vFROM")
@example("FROM a\nFROM \\\\\n\nFROM FROM")
@example("FROM a\nRUN a\\\\\nRUN x\n")
@example("# escape=`\nFROM a\nRUN a``\nRUN x\n")
@example("FROM a\nRUN a\\\\\\\nRUN x\n")
@given(lines)
def test_what_is_read_is_read_again_from_its_print(text: str) -> None:
    dockerfile = parsed(text)
    if dockerfile is not None:
        assert parse(render(dockerfile)) == dockerfile


@settings(max_examples=200, deadline=None)
@given(lines)
def test_an_instruction_has_one_spelling_that_is_read_again(text: str) -> None:
    dockerfile = parsed(text)
    if dockerfile is not None and not dockerfile.directives:
        for instruction in dockerfile.stages[0].instructions:
            again = parse(f"FROM a\n{render_instruction(instruction)}\n")
            assert again.stages[0].instructions == (instruction,)


@settings(max_examples=200, deadline=None)
@example("\n# escape=`\nFROM a\n# end")
@example("# escape=`\n\n# b\n\n# c\nfrom a as b\nRUN x `\n  # in it\n  y\n")
@example("FROM a\nRUN a\\ \\\n")
@given(lines)
def test_printing_changes_nothing_but_white_space(text: str) -> None:
    """And where a comment stands that was inside of an instruction."""
    dockerfile = parsed(text)
    if dockerfile is not None:
        assert sorted(words(text)) == sorted(words(render(dockerfile)))
        assert render(parse(render(dockerfile))) == render(dockerfile)


def words(text: str) -> list[str]:
    """Its characters, but for blanks and what continues lines."""
    return [
        character for character in text if not character.isspace() and character not in "\\`\ufeff"
    ]


@settings(max_examples=100, deadline=None)
@given(lines, st.sampled_from(["\n", "\r\n"]))
def test_blank_lines_and_comments_between_change_nothing(text: str, newline: str) -> None:
    dockerfile = parsed(text)
    if dockerfile is None or "<<" in text or "\\" in text or "`" in text or "\r" in text:
        return
    spaced = text.replace("\n", f"{newline}  # comment{newline}{newline}")
    assert parse(spaced).stages == dockerfile.stages


def steps_of(text: str) -> int:
    """How many lines of the parser's code run for it; a clock would measure the machine."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if "/dockerfile/" not in frame.f_code.co_filename:
            return None
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outcome(text)
    finally:
        sys.settrace(before)
    return count


@settings(max_examples=60, deadline=None)
@example("RUN <<a\n")
@example('ENV a="b" ')
@example("COPY a \\\n")
@example("ONBUILD ")
@example("${a:-")
@example("'")
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
def test_twice_the_text_is_twice_the_work(piece: str) -> None:
    for head in ("FROM a\n", "FROM a\nENV x=", "FROM a\nRUN "):
        once, twice = (steps_of(head + piece * count) for count in (40, 80))
        assert twice <= 2.2 * once + 200


def test_size_alone_is_no_obstacle() -> None:
    many = "FROM a\n" + "RUN x\n" * 20_000
    assert len(parse(many).stages[0].instructions) == 20_000
    long = "FROM a\nRUN " + "word \\\n" * 20_000 + "end\n"
    assert parse(long).stages[0].instructions[0].position.last_line == 20_002
    wide = "FROM a\nENV " + " ".join(f"v{n}='a b'" for n in range(20_000))
    assert len(parse(wide).stages[0].instructions[0].pairs) == 20_000  # type: ignore[attr-defined]
    parsed("# check=x" + " " * 200_000 + "y\nFROM a")
    for text in ("ENV x=" + "'" * 100_001, "CMD " + "[" * 100_000, "RUN " + "<<a " * 10_000):
        parsed("FROM a\n" + text)

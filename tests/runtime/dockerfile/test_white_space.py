"""White space wherever Go trims it: at lines' ends, between words, behind the mark of a heredoc."""

from __future__ import annotations

import pytest

from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile import parse
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules

GO_SPACES = "\v\f\r \x85\xa0\u1680\u2000\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def only(line: str) -> i.Instruction:
    (instruction,) = parse(f"FROM a\n{line}\n").stages[0].instructions
    return instruction


def run(text: str) -> i.Run:
    instruction = parse(f"FROM a\n{text}").stages[0].instructions[0]
    assert isinstance(instruction, i.Run)
    return instruction


@pytest.mark.parametrize("space", GO_SPACES)
def test_builder_10_white_space_that_go_knows_ends_no_value(space: str) -> None:
    assert parse(f"FROM busybox{space}\n").stages[0].base.image == "busybox"
    for line, value in (
        (f"USER me{space}", "me"),
        (f"{space}WORKDIR {space}/w {space}", "/w"),
        (f"STOPSIGNAL 9{space}{space}", "9"),
    ):
        instruction = only(line)
        values = (getattr(instruction, name, "") for name in ("user", "path", "signal"))
        assert "".join(values) == value
    command = only(f'CMD ["x"]{space}')
    assert isinstance(command, i.Cmd)
    assert command.command == i.Command(("x",), is_shell=False)


def test_builder_10_words_with_quotes_are_cut_at_any_white_space() -> None:
    env = only("ENV A=1\u00a0B='2\u00a03'\u3000C=4")
    assert isinstance(env, i.Env)
    assert [(pair.name, pair.value) for pair in env.pairs] == [
        ("A", "1"), ("B", "'2\u00a03'"), ("C", "4"),
    ]  # fmt: skip


def test_builder_10_plain_words_are_cut_at_ascii_blanks_only() -> None:
    copy = only("COPY a\u00a0b /dst/\u00a0")
    assert isinstance(copy, i.Copy)
    assert (copy.sources, copy.destination) == (("a\u00a0b",), "/dst/")


def test_builder_10_comments_and_empty_lines_may_be_indented_by_it() -> None:
    text = "FROM a\n\u00a0# comment\n\u3000\nRUN x \\\n\u00a0# comment\n  y\n"
    (instruction,) = parse(text).stages[0].instructions
    assert isinstance(instruction, i.Run)
    assert instruction.command.args == ("x   y",)


def test_builder_10_an_ignore_file_is_trimmed_as_go_trims_it() -> None:
    rules = IgnoreRules.parse("a\u00a0\r\n\u3000b\n#c\n!\u00a0a/keep\nd\u2028e\n")
    assert [rules.excludes(path) for path in ("a", "b", "#c", "a/keep", "d", "d\u2028e")] == [
        True, True, False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("mark", ["<< EOF", "<<\tEOF", "<<  'EOF'", "<<\u00a0EOF"])
def test_builder_9_a_blank_may_stand_before_the_name_of_a_heredoc(mark: str) -> None:
    instruction = run(f"RUN {mark}\necho hi\nEOF\nUSER x\n")
    (heredoc,) = instruction.heredocs
    assert (heredoc.name, heredoc.data) == ("EOF", "echo hi\n")
    assert heredoc.expand is ("'" not in mark)


def test_builder_9_also_within_a_command() -> None:
    instruction = run("RUN cat 3<< A << B > /f\n1\nA\n2\nB\nUSER x\n")
    assert [(heredoc.fd, heredoc.name, heredoc.data) for heredoc in instruction.heredocs] == [
        (3, "A", "1\n"), (0, "B", "2\n"),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["RUN <<- EOF", "RUN echo '<< EOF'", "RUN cat <<< EOF"])
def test_builder_9_other_blanks_make_no_heredoc(line: str) -> None:
    assert run(f"{line}\nUSER x\n").heredocs == ()


def test_builder_15_an_empty_continuation_is_placed_at_the_instructions_last_line() -> None:
    text = "FROM a\nRUN a \\\n\n\n  b\nRUN c\n"
    assert [(warning.rule, warning.line) for warning in parse(text).warnings] == [
        ("NoEmptyContinuation", 5)
    ]

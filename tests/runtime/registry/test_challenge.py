from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.registry.challenge import Challenge, parse

words = st.text("abcXYZ019-_.!", min_size=1, max_size=8)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
challenges = st.builds(
    Challenge,
    words.map(str.lower),
    st.dictionaries(words.map(str.lower), values, min_size=1, max_size=3),
)


def _written(challenge: Challenge) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"')

    parameters = (f'{key}="{quoted(value)}"' for key, value in challenge.parameters.items())
    return f"{challenge.scheme} {','.join(parameters)}"


@settings(max_examples=100, deadline=None)
@given(st.lists(challenges, max_size=3))
def test_what_was_written_is_read_again(offered: list[Challenge]) -> None:
    assert list(parse([", ".join(map(_written, offered))])) == offered


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse([text])


def test_a_token_service_is_named_with_its_scope() -> None:
    header = 'Bearer realm="https://auth.test/token",service="a b",scope="repository:x:pull,push"'
    (challenge,) = parse([header])
    assert challenge.scheme == "bearer"
    assert challenge.parameters == {
        "realm": "https://auth.test/token",
        "service": "a b",
        "scope": "repository:x:pull,push",
    }


def test_several_schemes_in_one_header_are_told_apart() -> None:
    offered = parse(['Negotiate abc==, Basic realm="x", Bearer realm=y'])
    assert [challenge.scheme for challenge in offered] == ["negotiate", "basic", "bearer"]
    assert offered[2].parameters == {"realm": "y"}


def test_a_scheme_may_stand_alone() -> None:
    assert parse(["Negotiate", "Basic"]) == (Challenge("negotiate"), Challenge("basic"))

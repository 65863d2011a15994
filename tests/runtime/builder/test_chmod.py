"""`--chmod` in numbers and words; the words are compared with chmod(1)."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.builder.plan.chmod import Mode
from dockmagic_runtime.errors import InvalidInput
from tests.runtime.builder.conftest import Site


@pytest.mark.parametrize(
    ("text", "mode", "is_dir", "expected"),
    [
        ("755", 0o644, False, 0o755),
        ("0644", 0o777, True, 0o644),
        ("4755", 0o644, False, 0o4755),
        ("+x", 0o644, False, 0o755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, True, 0o755),
        ("a+X", 0o744, False, 0o755),
        ("go-w", 0o666, False, 0o644),
        ("g=u", 0o740, False, 0o770),
        ("g=u,o=", 0o745, False, 0o770),
        ("u+s,+t", 0o755, False, 0o5755),
        ("u+x-w", 0o644, False, 0o544),
    ],
)
def test_a_mode_is_changed(text: str, mode: int, is_dir: bool, expected: int) -> None:
    assert Mode.parse(text).of(mode, is_dir=is_dir) == expected


@pytest.mark.parametrize(
    "text", ["9", "8888", "77777", "x", "u", "u~x", "u+q", "a=rwx,", "1234567"]
)
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid chmod parameter"):
        Mode.parse(text)


WHO = st.text("ugoa", max_size=3)
ACTION = st.tuples(st.sampled_from("+-="), st.text("rwxXst", max_size=4) | st.sampled_from("ugo"))
CLAUSE = st.builds(
    lambda who, actions: who + "".join(map("".join, actions)),
    WHO,
    st.lists(ACTION, min_size=1, max_size=2),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    clauses=st.lists(CLAUSE, min_size=1, max_size=3),
    mode=st.integers(0, 0o7777),
    is_dir=st.booleans(),
)
def test_words_mean_what_they_mean_to_chmod(
    clauses: list[str], mode: int, is_dir: bool, tmp_path: Path
) -> None:
    path = tmp_path / ("directory" if is_dir else "file")
    if is_dir:
        path.mkdir(exist_ok=True)
    else:
        path.touch()
    path.chmod(mode)
    given_mode = stat.S_IMODE(path.stat().st_mode)
    text = ",".join(clauses)
    script = 'umask 0; exec chmod -- "$1" "$2"'
    subprocess.run(["sh", "-c", script, "sh", text, str(path)], check=True)
    expected = stat.S_IMODE(path.stat().st_mode)
    assert oct(Mode.parse(text).of(given_mode, is_dir=is_dir)) == oct(expected)
    path.chmod(0o700)


@pytest.mark.root
def test_files_and_directories_get_what_the_words_say(site: Site) -> None:
    site.write("d/program", "", mode=0o700)
    site.write("d/text", "", mode=0o600)
    image = site.build("FROM scratch\nCOPY --chmod=u=rwX,go=rX d /d")
    modes = {
        name: stat.S_IMODE((site.layer(image) / name).stat().st_mode)
        for name in ("d", "d/program", "d/text")
    }
    assert modes == {"d": 0o755, "d/program": 0o755, "d/text": 0o644}

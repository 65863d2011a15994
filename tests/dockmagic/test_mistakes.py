"""What a newcomer sees: one line that names the thing, and one that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic.errors import MagicError

# The line, what its message names, what its hint says.
SPELLING = [
    ("%docker rnu busybox", "docker rnu", "did you mean run?"),
    ("%docker", "", ""),
    ("%docker --verison", "--verison", "did you mean --version?"),
    ("%docker container lst", "docker container lst", "did you mean list?"),
    ("%docker container zz", "docker container zz", "See '%docker container --help'."),
    ("%docker run --nmae x httpd", "--nmae", "did you mean --name?"),
    (
        "%docker run",
        "'docker run' requires at least 1 argument",
        "Usage: %docker run [OPTIONS] IMAGE",
    ),
    ("%docker run -p httpd", "requires at least 1 argument", "'-p' took 'httpd' for its value"),
    ("%docker run --name httpd", "requires at least 1 argument", "'--name' took 'httpd'"),
    ("%docker run -p 80:http httpd", "invalid containerPort: http", "in '-p 80:http'"),
    ("%docker run -p 999999:80 httpd", "invalid hostPort: 999999", "numbers up to 65535"),
    ("%docker run -v data:rel httpd", "'rel' mount path must be absolute", "inside the container"),
    ("%docker run -v ''  httpd", "invalid", ""),
    ("%docker run -e =x httpd", '"-e, --env"', "See '%docker run --help'."),
    ("%docker run -m 64mm httpd", '"64mm" for "-m, --memory"', "See '%docker run --help'."),
    ("%docker run -m 2m httpd", "Minimum memory limit allowed is 6MB", ""),
    ('%docker run --name "web httpd', 'a double quote (") is not closed', ""),
    ("%docker run $NOPE", "$NOPE", "there is no variable NOPE here"),
    ("%docker run {nope} httpd", "no variable 'nope'", "in {nope}"),
    ("%run_container $NOPE", "$NOPE", "there is no variable NOPE here"),
    ("%run_container -d httpd | grep x", "a pipe ('|')", "put it in quotes"),
    ("%docker trust ls", "'docker trust' is not supported yet", "signatures of images"),
    ("%docker run --gpus all httpd", "--gpus all", ""),
    ("%docker exec web", "requires at least 2 arguments", "CONTAINER COMMAND"),
    ("%logs", "requires 1 argument", "Usage: %docker logs"),
    ("%%dockerfile -t x", "the %%dockerfile cell is empty", "beginning with FROM"),
    ("%%dockerfile -t x\n", "the %%dockerfile cell is empty", "beginning with FROM"),
    ("%%dockerfile -t x\n \n", "the %%dockerfile cell is empty", "beginning with FROM"),
    ("%docker inspect --type foo web", 'unknown type: "foo"', ""),
]


@pytest.mark.parametrize(("line", "named", "advice"), SPELLING)
def test_a_wrong_line_is_one_line(run: Any, line: str, named: str, advice: str) -> None:
    cell = run(line)
    if not named:
        assert cell.error is None
        return
    assert isinstance(cell.error, MagicError)
    message, *hint = cell.traceback
    assert named in message
    assert advice in " ".join(hint)
    assert len(cell.traceback) <= 2


def test_a_wrong_field_of_a_template_is_the_cells_error(run: Any) -> None:
    run("%docker run -d --name web httpd")
    for line in ("%docker ps --format {{.Nmes}}", "%docker ps --format '{{.Names'"):
        assert isinstance(run(line).error, MagicError)


def test_a_missing_image_that_is_written_like_another_says_so(run: Any, engine: Any) -> None:
    from dockmagic_runtime.errors import NotFound

    find_image = engine.images.get

    def image(reference: str) -> Any:
        try:
            return find_image(reference)
        except NotFound as error:
            error.hint = "similar: httpd:latest"
            raise

    engine.images.get = image
    cell = run("%docker run htpd/nope")
    assert cell.traceback[1].startswith("  similar: httpd:latest")

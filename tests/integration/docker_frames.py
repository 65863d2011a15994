"""Records what Docker's client writes for the lines of `docker_frames.json`, and with which code.

    DOCKER_HOST=unix://… python tests/integration/docker_frames.py [CLIENT]

asks a client, by default `docker`, whose daemon has an image `busybox:latest` like ours and nothing
else. Ids are replaced. What is another on purpose here stays in the file, as `ours` with its `why`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
Step = dict[str, Any]


def ask(client: str, line: str, environment: dict[str, str], directory: Path) -> Step:
    """The answer to one line of a shell, in which `docker` is the client."""
    program = line.replace("docker ", f"{client} ", 1)
    done = subprocess.run(
        ["/bin/sh", "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, env=environment, cwd=directory, timeout=60,
    )  # fmt: skip
    step: Step = {"do": line}
    for key, value in (
        ("code", done.returncode),
        ("out", hidden(done.stdout, directory)),
        ("err", hidden(done.stderr, directory)),
    ):
        step |= {key: value} if value else {}
    return step


def hidden(text: str, directory: Path) -> str:
    """Without what differs from run to run."""
    text = text.replace(os.fspath(directory), "{here}")
    return re.sub(r"\b[0-9a-f]{12}\b", "{short}", re.sub(r"\b[0-9a-f]{64}\b", "{id}", text))


def record(client: str, directory: Path) -> None:
    page = json.loads(FILE.read_text())
    for steps in page["cases"].values():
        for step in steps:
            kept = {key: step[key] for key in ("ours", "why") if key in step}
            answer = ask(client, step["do"], dict(os.environ), directory)
            step.clear()
            step |= answer | kept
    FILE.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as here:
        record(sys.argv[1] if sys.argv[1:] else "docker", Path(here))

"""Records what `docker VERB --help` of a Docker client says: `python record_help.py > data/…`.

The result is `data/docker_help.json`, which `test_help.py` compares with our own definitions.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import Any

FORMS = [
    *(
        "attach build commit cp create diff events exec export history images import info inspect "
        "kill load login logout logs pause port ps pull push rename restart rm rmi run save search "
        "start stats stop tag top unpause update version wait"
    ).split(),
    *(f"container {verb}" for verb in "inspect ls prune rm run stop".split()),
    *(f"image {verb}" for verb in "inspect ls prune rm".split()),
    *(f"network {verb}" for verb in "connect create disconnect inspect ls prune rm".split()),
    *(f"system {verb}" for verb in "df events info prune".split()),
    *(f"volume {verb}" for verb in "create inspect ls prune rm".split()),
    "builder prune",
    *(f"manifest {verb}" for verb in "annotate create inspect push rm".split()),
]
AS_SHOWN = ["ps", "container ls", "stop", "cp", "logs", "volume rm", "rm", "diff"]
_FLAG = re.compile(r"^  (?:-(\w), |    )--([a-z0-9-]+)(?: (\S+))?   +(.*)$")
_DEFAULT = re.compile(r" \(default (\"[^\"]*\"|\S+)\)$")


def shown(docker: str, form: str, columns: int) -> str:
    """The help as a terminal of so many columns shows it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    result = subprocess.run(
        [docker, *form.split(), "--help"], stdin=slave, capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    os.close(master)
    os.close(slave)
    return result.stdout


def definition(text: str) -> dict[str, Any]:
    """The parts of a help that has not been wrapped."""
    head, _, options = text.partition("\nOptions:\n")
    head, _, aliases = head.partition("\nAliases:\n")
    usage, _, summary = head.removeprefix("Usage:  ").partition("\n\n")
    return {
        "usage": usage,
        "summary": summary.strip(),
        "aliases": [name for name in aliases.strip().split(", ") if name],
        "flags": flags(options.rstrip("\n").split("\n")),
    }


def flags(lines: list[str]) -> dict[str, Any]:
    table: dict[str, dict[str, str]] = {}
    last = ""
    for line in lines:
        if match := _FLAG.match(line):
            short, last, kind, help = match.groups()
            table[last] = {"short": short or "", "type": kind or "", "help": help}
        elif last:
            table[last]["help"] += "\n" + line.strip()
    for flag in table.values():
        match = _DEFAULT.search(flag["help"])
        flag["default"] = match[1] if match else ""
        flag["help"] = _DEFAULT.sub("", flag["help"])
    return table


def main(docker: str) -> None:
    version = subprocess.run([docker, "--version"], capture_output=True, text=True, check=True)
    recorded = {
        "client": version.stdout.strip(),
        "definitions": {form: definition(shown(docker, form, 4000)) for form in FORMS},
        "as shown": {form: shown(docker, form, 80) for form in AS_SHOWN},
    }
    json.dump(recorded, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""What a command line answers: Docker's answers kept as data, and ours to be compared with them.

Ids, addresses and the like differ from run to run; an answer shows the object that has them
instead, such as `{db.id}` or `{db.ip}`, and `{db.ip'}` for the second address that db has had.

    DOCKER_HOST=unix://… python tests/integration/answers.py docker_links.json

asks a Docker daemon, where nothing else may be, all that is in the file once more, and writes what
has changed. It needs an image `busybox:latest` like ours.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str = ""
    err: str = ""

    @property
    def complaint(self) -> str:
        """The error without its frame: the prefix of the program, and where there is help."""
        text = re.sub(
            r"^(docker: |dockmagic: |Error: )?(Error response from daemon: )?",
            "",
            self.err,
            flags=re.MULTILINE,
        )
        text = re.split(r"\n+(?:Usage:|Run 'dock|See 'dock)| \(Usage: ", text)[0]
        text = re.sub(r"\n(failed to (start|rename) container.*|exit status 1)$", "", text.rstrip())
        return text.replace("'dockmagic ", "'docker ").rstrip("\n.")

    def agrees(self, docker: Answer) -> bool:
        """Whether ours says the same; a hint in parentheses may follow."""
        ours, theirs = self.complaint.casefold(), docker.complaint.casefold()  # 28 shouts less
        rest = ours.removeprefix(theirs)
        hinted = bool(theirs) and rest.startswith((" (", "\n"))
        is_same = ours == theirs or (ours.startswith(theirs) and hinted)
        return is_same and self.code == docker.code and _lines(self.out) == _lines(docker.out)


def _lines(text: str) -> list[str]:
    """Without the blanks that fill a table's last column."""
    return [line.rstrip() for line in text.splitlines()]


Ask = Callable[[str], Answer]


@dataclass(slots=True)
class Labels:
    """Of what an engine has made up itself, the names to show instead."""

    known: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # by id, the first one

    def look(self, ask: Ask) -> None:
        """See what is there now."""
        for network in _inspected(ask, "network ls -q --no-trunc", "network inspect"):
            self._identify(network["Id"], network["Name"])
            if network["Name"] == "bridge":
                self.known[network["Options"]["com.docker.network.bridge.name"]] = "{bridge name}"
            for pool in network["IPAM"]["Config"] or ():
                self.known[pool["Subnet"]] = f"{{{network['Name']}.subnet}}"
                first = str(ip_network(pool["Subnet"], strict=False)[1])  # Docker may not say it
                gateway = pool.get("Gateway", first).partition("/")[0]
                self.known[gateway] = f"{{{network['Name']}.gateway}}"
        for container in _inspected(ask, "ps -aq --no-trunc", "inspect"):
            name = self._identify(container["Id"], container["Name"].lstrip("/"))
            for network, there in container["NetworkSettings"]["Networks"].items():
                if there["IPAddress"]:
                    suffix = "ip" if network == "bridge" else f"{network}.ip"
                    self._locate(there["IPAddress"], f"{name}.{suffix}")
                if there["MacAddress"]:
                    self.known[there["MacAddress"]] = f"{{{name}.{network}.mac}}"

    def _identify(self, identity: str, name: str) -> str:
        name = self.names.setdefault(identity, name)
        self.known[identity] = f"{{{name}.id}}"
        self.known[identity[:12]] = f"{{{name}.short}}"
        return name

    def _locate(self, address: str, label: str) -> None:
        if self.known.get(address, "").strip("{}'") == label:
            return
        while f"{{{label}}}" in self.known.values():
            label += "'"
        self.known[address] = f"{{{label}}}"

    def hide(self, text: str) -> str:
        for word in sorted(self.known, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.]){re.escape(word)}(?![\w]|\.\d)", self.known[word], text)
        text = re.sub(r"\b[0-9a-f]{64}\b", "{some id}", text)
        text = re.sub(r"\b[0-9a-f]{12}\b", "{some short}", text)
        text = re.sub(r"\b(172\.(1[7-9]|2\d|3[01])|192\.168)\.\d+\.\d+\b", "{some ip}", text)
        return re.sub(r"(?<=:)(3[2-9]|4\d|5\d|60)\d{3}\b", "{some port}", text)


def _inspected(ask: Ask, listing: str, inspect: str) -> list[dict[str, Any]]:
    if not (ids := ask(listing).out.split()):
        return []
    documents: list[dict[str, Any]] = json.loads(ask(f"{inspect} {' '.join(ids)}").out)
    return documents


def answers(ask: Ask, lines: list[str]) -> Iterator[Answer]:
    """Line by line. Afterwards all is as it was."""
    labels = Labels()
    try:
        for line in lines:
            given = ask(line)
            labels.look(ask)
            yield Answer(given.code, labels.hide(given.out), labels.hide(given.err))
    finally:
        clean(ask)


def clean(ask: Ask) -> None:
    for listing, remove in (
        ("ps -aq", "rm -f"),
        ("network ls -q --filter type=custom", "network rm"),
        ("images --filter reference=made* --format {{.Repository}}", "rmi"),
    ):
        if names := ask(listing).out.split():
            ask(f"{remove} {' '.join(names)}")


def docker(line: str) -> Answer:
    done = subprocess.run(
        ["docker", *shlex.split(line)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def record(path: Path, pattern: str = "") -> None:
    """Ask Docker what is in the file, and write its answers there."""
    page = json.loads(path.read_text())
    for name, steps in page["cases"].items():
        if not re.search(pattern, name):
            continue
        sys.stderr.write(f"{name}\n")
        for step, given in zip(steps, answers(docker, [step["do"] for step in steps]), strict=True):
            for key in ("code", "out", "err"):
                step.pop(key, None)
            step |= {"code": given.code} if given.code else {}
            step |= {"out": given.out} if given.out else {}
            step |= {"err": given.err} if given.err else {}
    path.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    for file in sys.argv[1:]:
        record(HERE / file)

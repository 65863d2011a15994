"""Row 45: which keys a container's processes hold, as the kernel lists them inside.

The seccomp profile refuses that question, so it is off here. This machine's Python, bound into the
container, makes the system calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.linux.seccomp import native_architecture
from dockmagic_runtime.linux.syscall_table import numbers
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount

from .conftest import Run, collect

pytestmark = [
    pytest.mark.root,
    pytest.mark.network,
    pytest.mark.skipif(
        not Path("/proc/keys").exists(), reason="optional: this kernel keeps no keys"
    ),
]

# linux/keyctl.h; the numbers of add_key(2) and keyctl(2) come as arguments
KEYS = """
import ctypes, errno, json, os, sys
ADD_KEY, KEYCTL = map(int, sys.argv[1:3])
SESSION, JOIN, DESCRIBE, SEARCH, READ = -3, 1, 6, 10, 11
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*words):
    if (found := libc.syscall(*words)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, errno.errorcode[number])
    return found
def hold(name):
    call(ADD_KEY, b"user", name, b"secret", 6, SESSION)
def look(*names):
    text = ctypes.create_string_buffer(256)
    call(KEYCTL, DESCRIBE, SESSION, text, 256)
    print(json.dumps({
        "keyring": text.value.decode().split(";")[-1],
        "bytes": call(KEYCTL, READ, SESSION, None, 0),
        "found": {name.decode(): found(name) for name in names},
    }), flush=True)
def found(name):
    try:
        return bool(call(KEYCTL, SEARCH, SESSION, b"user", name, 0))
    except OSError as error:
        return error.strerror
"""
NOTEBOOK = """
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec
call(KEYCTL, JOIN, b"of-the-notebook")
hold(b"notebooks")
look(b"notebooks")
with Engine(sys.argv[3]) as engine:
    engine.containers.start("asked")
    engine.containers.wait("asked")
"""
LOOK = 'look(b"notebooks", b"neighbours")'
EMPTY = {
    "keyring": "_ses", "bytes": 0, "found": {"notebooks": "ENOKEY", "neighbours": "ENOKEY"},
}  # fmt: skip


def program(text: str, *more: str) -> tuple[str, ...]:
    """The command of a Python that can ask for keys."""
    table = numbers(native_architecture(os.uname().machine))
    calls = (str(table["add_key"]), str(table["keyctl"]))
    return (os.path.realpath(sys.executable), "-I", "-S", "-c", KEYS + text, *calls, *more)


def spec(text: str, **more: Any) -> ContainerSpec:
    """A container without the seccomp profile, in which this Python runs."""
    places = {"/usr", "/lib", "/lib64", os.path.realpath(sys.base_prefix)}
    return ContainerSpec(
        image="busybox",
        command=program(text),
        security_opt=("seccomp=unconfined",),
        mounts=tuple(
            Mount(kind="bind", source=os.path.realpath(place), target=place, read_only=True)
            for place in sorted(places)
            if Path(place).exists()
        ),
        **more,
    )


def test_row45_keys_of_the_notebook_are_not_the_containers(engine: Engine) -> None:
    engine.containers.create(spec(LOOK, name="asked"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", KEYS + NOTEBOOK, *program("")[5:], str(engine.data_root.root)]
    notebook = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    seen = json.loads(notebook.stdout)
    assert seen["found"] == {"notebooks": True}  # so that one can be found where it is
    (line,) = engine.containers.logs("asked")
    assert json.loads(line.text) == EMPTY


def test_row45_keys_of_a_container_are_not_its_neighbours(engine: Engine) -> None:
    holds = 'hold(b"neighbours"); look(b"neighbours"); sys.stdin.read()'
    engine.containers.run(spec(holds, name="neighbour", open_stdin=True), detach=True)
    first = next(iter(engine.containers.logs("neighbour", follow=True)))
    assert json.loads(first.text)["found"] == {"neighbours": True}
    assert json.loads(collect(engine.containers.run(spec(LOOK))).stdout) == EMPTY
    ended = collect(
        engine.containers.exec("neighbour", ExecSpec(command=program('look(b"notebooks")')))
    )
    assert json.loads(ended.stdout) == {**EMPTY, "found": {"notebooks": "ENOKEY"}}


def test_row45_nobody_asks_for_keys_under_the_profile(run: Run) -> None:
    asked = spec("")
    for text in ('hold(b"x")', "call(KEYCTL, READ, SESSION, None, 0)"):
        ended = run(*program(text), mounts=asked.mounts)
        assert ended.code == 1
        assert ended.stderr.endswith("PermissionError: [Errno 1] EPERM\n")

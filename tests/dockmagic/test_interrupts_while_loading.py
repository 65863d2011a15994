"""Security 17: SIGINT at any moment of a command ends it with exit code 130 and no traceback."""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dockmagic import interrupts
from dockmagic_runtime.store.data_root import DataRoot

_SIGNALS = 108
# a byte says that the command has begun; before that the interpreter itself starts
_PROGRAM = """
import os
from dockmagic import cli, interrupts
guard = interrupts.guard
interrupts.guard = lambda: (guard(), os.write(1, b"."))
cli.main()
"""


def start(root: Path, *words: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *words],
        env={**os.environ, "DOCKMAGIC_ROOT": str(root)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 1) == b"."
    return process


@pytest.mark.root
@pytest.mark.slow
def test_security_17_an_interrupt_at_any_moment_is_no_traceback(tmp_path: Path) -> None:
    began = time.monotonic()
    start(tmp_path, "ps").communicate(timeout=60)
    length = time.monotonic() - began
    moments = random.Random(17)
    codes = set()
    for _ in range(_SIGNALS):
        process = start(tmp_path, "ps")
        time.sleep(moments.uniform(0, length))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert errors == b""
        codes.add(process.returncode)
    assert 130 in codes
    assert codes <= {0, 130}  # 0: it was quicker
    DataRoot.at(tmp_path).run.rmdir()


def test_security_17_an_interrupt_waits_for_the_end_of_an_import(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(0.05)\n"
        "finished = True\n"
    )
    program = (
        "import sys, time; from dockmagic import interrupts; interrupts.guard()\n"
        "try:\n"
        "    import interrupted\n"
        "    time.sleep(10)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_security_17_an_interrupt_in_a_callback_comes_again() -> None:
    program = (
        "import os, signal, time, weakref; from dockmagic import interrupts; interrupts.guard()\n"
        "class Object: pass\n"
        "def gone(_): os.kill(os.getpid(), signal.SIGINT)\n"
        "it = Object(); watch = weakref.ref(it, gone)\n"
        "try:\n"
        "    del it\n"
        "    time.sleep(10)\n"
        "except KeyboardInterrupt:\n"
        "    print('raised')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("raised\n", "")


def test_a_cell_that_is_interrupted_while_a_module_loads_ends_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel would end by a segmentation fault where msgspec looks at a type of the module."""
    (tmp_path / "interrupted_module.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nis_loaded = sum(range(1000)) > 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        _load_in_a_cell("interrupted_module")
    module = sys.modules.pop("interrupted_module")
    assert module.is_loaded
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _load_in_a_cell(name: str) -> None:
    with interrupts.Guarded():
        importlib.import_module(name)
        for _ in range(1000):  # the interrupt comes within a moment
            time.sleep(0.01)

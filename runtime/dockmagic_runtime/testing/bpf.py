"""An interpreter of the classic BPF that seccomp(2) takes: what would the kernel return?"""

from __future__ import annotations

import struct
from typing import Final

from dockmagic_runtime.linux.seccomp import AUDIT

_WORD: Final = 0xFFFF_FFFF


def action_of(program: bytes, architecture: str, number: int, *arguments: int) -> int:
    """The action that `program` decides on for a call on `architecture`."""
    return run(program, AUDIT[architecture], number, *arguments)[0]


def steps_of(program: bytes, architecture: str, number: int, *arguments: int) -> int:
    """How many instructions it takes to decide that."""
    return run(program, AUDIT[architecture], number, *arguments)[1]


def run(program: bytes, audit: int, number: int, *arguments: int) -> tuple[int, int]:
    """(action, instructions executed) for the AUDIT_ARCH_ number `audit`."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number & _WORD, audit, 0, *padded)
    code = list(struct.iter_unpack("=HBBI", program))
    position = accumulator = steps = 0
    while True:
        operation, on_true, on_false, k = code[position]
        position, steps = position + 1, steps + 1
        match operation:
            case 0x06:  # return
                return k, steps
            case 0x20:  # load a word of the data
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                position += k
            case _:
                position += on_true if _holds(operation, accumulator, k) else on_false


def _holds(operation: int, accumulator: int, k: int) -> bool:
    match operation:
        case 0x15:
            return accumulator == k
        case 0x25:
            return accumulator > k
        case 0x35:
            return accumulator >= k
        case 0x45:
            return accumulator & k != 0
    raise ValueError(f"no filter has the BPF instruction {operation:#x}")

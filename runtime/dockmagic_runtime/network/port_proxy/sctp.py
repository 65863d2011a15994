"""The part of the port proxy for SCTP: whole messages pass, each on its stream.

A message keeps its boundaries, its stream, its payload protocol and whether it was to be ordered.
It may arrive in pieces, and is sent after the last piece, since Linux sends only whole messages.
An association has no half close: the peer that ended it receives what was in flight, and no more.
Numbers of linux/sctp.h, which the socket module does not have.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

NODELAY = 3
_INITMSG, _EVENTS, _STATUS, _RECVRCVINFO = 2, 11, 14, 32  # socket options
_ASSOCIATION_CHANGES = bytes((0, 1))  # of struct sctp_event_subscribe: report these
_NOTIFICATION = 0x8000  # MSG_NOTIFICATION
_CHANGE = struct.Struct("=HHIH")  # of struct sctp_assoc_change: type, flags, length, state
_COMM_LOST, _SHUTDOWN_COMP = 1, 3
_SNDINFO, _RCVINFO = 2, 3  # kinds of ancillary data
_RCVINFO_HEAD = struct.Struct("=HHHxxI")  # of struct sctp_rcvinfo: stream, number, flags, protocol
_CONTROL_SPACE = socket.CMSG_SPACE(28)
_STATUS_HEAD = struct.Struct("=iiIHHHH")  # of struct sctp_status, up to the numbers of streams
_STATUS_SIZE = 176
_UNORDERED = 1
_STREAMS = 256  # where it is too late to ask
_PIECE = 65536
_LARGEST = 1024 * 1024  # bytes in a message, where net.core.wmem_max allows it
_ROUNDS = 16  # moves per callback, then others have their turn
_HAS_ENDED = (errno.EPIPE, errno.ESHUTDOWN, errno.ENOTCONN)

Control = list[tuple[int, int, bytes]]


def prepare(client: socket.socket, backend: socket.socket) -> None:
    """Request as many streams to the container as the client has, and the stream of each message
    from both sockets."""
    incoming, outgoing = _streams(client)
    requested = struct.pack("=HHHH", incoming, outgoing, 0, 0)
    backend.setsockopt(socket.IPPROTO_SCTP, _INITMSG, requested)
    for each in (client, backend):
        each.setsockopt(socket.IPPROTO_SCTP, _EVENTS, _ASSOCIATION_CHANGES)
        each.setsockopt(socket.IPPROTO_SCTP, _RECVRCVINFO, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)


def _streams(client: socket.socket) -> tuple[int, int]:
    """The numbers of streams from the client and back to it."""
    try:
        status = client.getsockopt(socket.IPPROTO_SCTP, _STATUS, _STATUS_SIZE)
    except OSError:  # it has ended already; what the client has sent can still be read
        return _STREAMS, 0
    *_, incoming, outgoing = _STATUS_HEAD.unpack_from(status)
    return incoming, outgoing


def _as_sent(control: Control) -> Control:
    """The ancillary data that sends a message on the stream on which it arrived."""
    for level, kind, data in control:
        if level == socket.IPPROTO_SCTP and kind == _RCVINFO:
            stream, _, flags, protocol = _RCVINFO_HEAD.unpack_from(data)
            info = struct.pack("=HHIIi", stream, flags & _UNORDERED, protocol, 0, 0)
            return [(level, _SNDINFO, info)]
    return []


def _is_end(notification: bytes) -> bool:
    """Whether the association ended in order: the end alone does not make a socket readable."""
    state: int = _CHANGE.unpack_from(notification)[-1]
    if state == _COMM_LOST:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    return state == _SHUTDOWN_COMP


class MessageDirection:
    """One direction of an association: whole messages, one at a time."""

    __slots__ = ("_control", "_pieces", "at_end", "is_finished", "pending", "sink", "source")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.pending = b""  # a message that is whole and could not be sent yet
        self.at_end = False  # the source sends no more
        self.is_finished = False  # and the sink's association was shut down
        self._pieces = b""  # of a message that has not arrived whole
        self._control: Control = []

    def move(self) -> None:
        """Pass on what there is, for a bounded time. OSError when either side has broken."""
        for _ in range(_ROUNDS):
            if not self.pending and not self._receive():
                break
            if not self._send():
                return
        if self.at_end and not self.pending and not self.is_finished:
            self.is_finished = True
            self._end_sink()

    def _receive(self) -> bool:
        """Receive a piece; the message is pending when this completes it."""
        if self.at_end:
            return False
        try:
            piece, control, flags, _ = self.source.recvmsg(_PIECE, _CONTROL_SPACE)
        except BlockingIOError:
            return False
        if flags & _NOTIFICATION:
            self.at_end = _is_end(piece)
            return not self.at_end
        self.at_end = not piece  # there are no empty messages
        self._pieces += piece
        if flags & socket.MSG_EOR:
            self.pending, self._pieces = self._pieces, b""
            self._control = _as_sent(control)
        elif len(self._pieces) > _LARGEST:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return not self.at_end

    def _send(self) -> bool:
        if not self.pending:
            return True
        try:
            self.sink.sendmsg([self.pending], self._control, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _HAS_ENDED:
                raise  # reset, or it has no such stream, or takes no message of that size
            # the association is shut down by either peer: nothing more can be sent
        self.pending = b""
        return True

    def _end_sink(self) -> None:
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno not in _HAS_ENDED:  # both ends of an association end together
                raise

    def close(self) -> None:
        self.pending = self._pieces = b""

"""DNS messages: from a query and what is known to an answer. Pure; bytes in, bytes out.

The wire format is dnslib's. It is imported by this module alone, and this one only by processes
that resolve.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from dnslib import AAAA, EDNS0, PTR, QTYPE, RCODE, RR, A, DNSHeader, DNSRecord
from msgspec import Struct

from dockmagic_runtime.network.dns.zone import Found, Snapshot

TTL: Final = 600  # seconds, Docker's
SERVER_FAILURE: Final = int(RCODE.SERVFAIL)
FORMAT_ERROR: Final = int(RCODE.FORMERR)
NOT_IMPLEMENTED: Final = int(RCODE.NOTIMP)
_POOR_ANSWERS: Final = (SERVER_FAILURE, NOT_IMPLEMENTED, int(RCODE.REFUSED))

_HEADER: Final = 12  # bytes: id, flags, and how many records in each of four sections
_QR, _TC, _OPCODE, _RCODE = 0x8000, 0x0200, 0x7800, 0x000F
_LONGEST_NAME, _LONGEST_LABEL = 253, 63
_PLAIN_ROOM: Final = 512  # of a datagram, RFC 1035
_MOST_ROOM: Final = 65535
_IN, _ANY_CLASS = 1, 255

Shuffle = Callable[[list[Any]], None]


class Query(Struct, frozen=True):
    """One question. `name` is without the dot at its end, as it was written; `room` is the
    largest datagram that the client takes."""

    packet: bytes
    record: DNSRecord
    name: str
    kind: int
    room: int

    @property
    def id(self) -> int:
        return int.from_bytes(self.packet[:2], "big")


def read(packet: bytes) -> Query | bytes | None:
    """The query; or the answer that says what is wrong with it; or None, for nobody's question."""
    if len(packet) < _HEADER or packet[2] & _QR >> 8:
        return None
    if int.from_bytes(packet[2:4], "big") & _OPCODE:
        return refusal(packet, NOT_IMPLEMENTED)
    try:
        record = DNSRecord.parse(packet)
    except Exception:  # whatever a decoder may run into, it is the packet's fault
        return refusal(packet, FORMAT_ERROR)
    if len(record.questions) != 1:
        return refusal(packet, FORMAT_ERROR)
    question = record.questions[0]
    name = str(question.qname).removesuffix(".")
    return Query(packet, record, name, int(question.qtype), _room(record))


def _room(record: DNSRecord) -> int:
    sizes = [int(one.edns_len) for one in record.ar if one.rtype == QTYPE.OPT]
    return max([_PLAIN_ROOM, *sizes])


def refusal(packet: bytes, code: int) -> bytes:
    """To a packet that cannot be answered otherwise: its header, turned round."""
    header = DNSHeader(id=int.from_bytes(packet[:2], "big"), qr=1, ra=1)
    header.set_rcode(code)
    header.set_opcode((packet[2] & _OPCODE >> 8) >> 3)
    return bytes(DNSRecord(header).pack())


def failure(query: Query, code: int = SERVER_FAILURE) -> bytes:
    """That answer, with the question."""
    made = query.record.reply(aa=0)
    made.header.set_rcode(code)
    return bytes(made.pack())


def answer(
    query: Query, known: Snapshot, *, local_only: bool = False, shuffle: Shuffle = random.shuffle
) -> bytes | None:
    """What is known here; None when the question is for others.

    `local_only`: bare names are never asked outside, since the client tries them with its search
    domains next.
    """
    if query.record.questions[0].qclass not in (_IN, _ANY_CLASS):
        return None
    if query.kind == QTYPE.PTR:
        owner = known.name_of(address_of(query.name))
        return _reply(query, [_record(query, QTYPE.PTR, PTR(owner))]) if _fits(owner) else None
    found = known.find(query.name)
    if found is not None:
        return _reply(query, _addresses(query, found, shuffle))
    is_bare = "." not in query.name and query.kind in (QTYPE.A, QTYPE.AAAA)
    return _reply(query, []) if local_only and is_bare else None


def _fits(name: str) -> bool:
    """Whether it can stand in a message: a container's name may be longer than that."""
    return (
        name.isascii()
        and len(name) <= _LONGEST_NAME
        and all(0 < len(label) <= _LONGEST_LABEL for label in name.split("."))
    )


def _addresses(query: Query, found: Found, shuffle: Shuffle) -> list[RR]:
    """In any order, so that the clients spread over all of them. For another kind than addresses
    there is nothing, but the name exists."""
    records = []
    if query.kind in (QTYPE.A, QTYPE.ANY):
        records += [_record(query, QTYPE.A, A(one)) for one in found.ipv4]
    if query.kind in (QTYPE.AAAA, QTYPE.ANY):
        records += [_record(query, QTYPE.AAAA, AAAA(one)) for one in found.ipv6]
    shuffle(records)
    return records


def _record(query: Query, kind: int, data: Any) -> RR:
    return RR(query.record.q.qname, kind, rdata=data, ttl=TTL)


def _reply(query: Query, records: Iterable[RR]) -> bytes:
    made = query.record.reply()
    made.add_answer(*records)
    if any(one.rtype == QTYPE.OPT for one in query.record.ar):
        made.add_ar(EDNS0(udp_len=_MOST_ROOM))
    return bytes(made.pack())


def address_of(name: str) -> str:
    """The address that a reverse name stands for; empty when it stands for none."""
    try:
        return "".join(_reversed(name.lower().split(".")))
    except ValueError:
        return ""


def _reversed(labels: list[str]) -> Iterator[str]:
    if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
        yield str(ipaddress.IPv4Address(".".join(labels[3::-1])))
    elif labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
        yield str(ipaddress.IPv6Address(int("".join(labels[31::-1]), 16)))


# what passes through ----------------------------------------------------------------------------


def fitting(packet: bytes, query: Query) -> bytes:
    """The answer as it goes into one datagram: as it is, or cut, which sends the client to TCP."""
    if len(packet) <= query.room:
        return packet
    made = query.record.reply(aa=0)
    made.header.set_tc(1)
    return bytes(made.pack())


def with_id(packet: bytes, number: int) -> bytes:
    return number.to_bytes(2, "big") + packet[2:]


def is_answer_to(packet: bytes, question: bytes) -> bool:
    """Whether it has the question's id, says that it is an answer, and repeats the question.

    An answer without a question is one too, if it is an error (RFC 1035 lets it be).
    """
    if len(packet) < _HEADER or not packet[2] & _QR >> 8 or packet[:2] != question[:2]:
        return False
    if packet[4:6] == b"\0\0":
        return code_of(packet) != 0
    asked = _question(question)
    return bool(asked) and _question(packet) == asked


def _question(packet: bytes) -> bytes:
    """The first question as it stands on the wire, in lower case; empty when there is none whole.

    It stands first, so nothing can be compressed in it.
    """
    offset = _HEADER
    while offset < len(packet):
        length = packet[offset]
        if length == 0:
            end = offset + 5
            name = packet[_HEADER:offset].lower()
            return name + packet[offset:end] if end <= len(packet) else b""
        if length > 63:
            return b""
        offset += 1 + length
    return b""


def is_truncated(packet: bytes) -> bool:
    return bool(packet[2] & _TC >> 8)


def code_of(packet: bytes) -> int:
    return packet[3] & _RCODE


def is_poor(packet: bytes) -> bool:
    """An answer that another server may do better."""
    return code_of(packet) in _POOR_ANSWERS

"""DNS messages: from a query and a snapshot of the zone to an answer. Pure; bytes in, bytes out.

dnslib encodes and decodes them. Only this module imports it, and only DNS server processes import
this module.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from dnslib import AAAA, EDNS0, PTR, QTYPE, RCODE, RR, A, DNSHeader, DNSRecord
from msgspec import Struct

from dockmagic_runtime.network.dns.zone import Addresses, Snapshot

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
    """A message with one question. `name` is as the client wrote it, without the final dot; `room`
    is the largest datagram that the client accepts, in bytes."""

    packet: bytes
    record: DNSRecord
    name: str
    kind: int
    room: int

    @property
    def id(self) -> int:
        return int.from_bytes(self.packet[:2], "big")


def read(packet: bytes) -> Query | bytes | None:
    """The query; or an error answer to send back; or None for what is no query at all."""
    if len(packet) < _HEADER or packet[2] & _QR >> 8:
        return None
    if int.from_bytes(packet[2:4], "big") & _OPCODE:
        return refusal(packet, NOT_IMPLEMENTED)
    try:
        record = DNSRecord.parse(packet)
    except Exception:  # any error of the decoder is a fault of the packet
        return refusal(packet, FORMAT_ERROR)
    if len(record.questions) != 1:
        return refusal(packet, FORMAT_ERROR)
    question = record.questions[0]
    name = str(question.qname).removesuffix(".")
    return Query(packet, record, name, int(question.qtype), _room(record))


def _room(record: DNSRecord) -> int:
    sizes = [int(extra.edns_len) for extra in record.ar if extra.rtype == QTYPE.OPT]
    return max([_PLAIN_ROOM, *sizes])


def refusal(packet: bytes, code: int) -> bytes:
    """An error answer to a packet that cannot be parsed: it has a header alone."""
    header = DNSHeader(id=int.from_bytes(packet[:2], "big"), qr=1, ra=1)
    header.set_rcode(code)
    header.set_opcode((packet[2] & _OPCODE >> 8) >> 3)
    return bytes(DNSRecord(header).pack())


def failure(query: Query, code: int = SERVER_FAILURE) -> bytes:
    """An error answer that repeats the question."""
    reply = query.record.reply(aa=0)
    reply.header.set_rcode(code)
    return bytes(reply.pack())


def answer(
    query: Query, known: Snapshot, *, local_only: bool = False, shuffle: Shuffle = random.shuffle
) -> bytes | None:
    """The answer from the zone; None when the query is to be forwarded.

    `local_only`: queries for names without a dot are never forwarded, since the client tries them
    with its search domains next.
    """
    if query.record.questions[0].qclass not in (_IN, _ANY_CLASS):
        return None
    if query.kind == QTYPE.PTR:
        owner = known.name_of(address_of(query.name))
        return _reply(query, [_record(query, QTYPE.PTR, PTR(owner))]) if _fits(owner) else None
    addresses = known.find(query.name)
    if addresses is not None:
        return _reply(query, _records(query, addresses, shuffle))
    is_bare = "." not in query.name and query.kind in (QTYPE.A, QTYPE.AAAA)
    return _reply(query, []) if local_only and is_bare else None


def _fits(name: str) -> bool:
    """Whether the name fits into a message: a container's name may be longer."""
    return (
        name.isascii()
        and len(name) <= _LONGEST_NAME
        and all(0 < len(label) <= _LONGEST_LABEL for label in name.split("."))
    )


def _records(query: Query, addresses: Addresses, shuffle: Shuffle) -> list[RR]:
    """In any order, so that clients spread over all of them. For another type than addresses there
    is no record, but the name exists."""
    records = []
    if query.kind in (QTYPE.A, QTYPE.ANY):
        records += [_record(query, QTYPE.A, A(address)) for address in addresses.ipv4]
    if query.kind in (QTYPE.AAAA, QTYPE.ANY):
        records += [_record(query, QTYPE.AAAA, AAAA(address)) for address in addresses.ipv6]
    shuffle(records)
    return records


def _record(query: Query, kind: int, data: Any) -> RR:
    return RR(query.record.q.qname, kind, rdata=data, ttl=TTL)


def _reply(query: Query, records: Iterable[RR]) -> bytes:
    reply = query.record.reply()
    reply.add_answer(*records)
    if any(extra.rtype == QTYPE.OPT for extra in query.record.ar):
        reply.add_ar(EDNS0(udp_len=_MOST_ROOM))
    return bytes(reply.pack())


def address_of(name: str) -> str:
    """The address of a reverse name (`….in-addr.arpa`); empty for another name."""
    try:
        return "".join(_reversed(name.lower().split(".")))
    except ValueError:
        return ""


def _reversed(labels: list[str]) -> Iterator[str]:
    if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
        yield str(ipaddress.IPv4Address(".".join(labels[3::-1])))
    elif labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
        yield str(ipaddress.IPv6Address(int("".join(labels[31::-1]), 16)))


# forwarded answers -----------------------------------------------------------------------------


def fitting(packet: bytes, query: Query) -> bytes:
    """The answer as one datagram: unchanged, or truncated so that the client repeats it by TCP."""
    if len(packet) <= query.room:
        return packet
    reply = query.record.reply(aa=0)
    reply.header.set_tc(1)
    return bytes(reply.pack())


def with_id(packet: bytes, number: int) -> bytes:
    return number.to_bytes(2, "big") + packet[2:]


def is_answer_to(packet: bytes, question: bytes) -> bool:
    """Whether `packet` is an answer, has the id of `question` and repeats its question.

    An error answer may lack the question (RFC 1035 allows it).
    """
    if len(packet) < _HEADER or not packet[2] & _QR >> 8 or packet[:2] != question[:2]:
        return False
    if packet[4:6] == b"\0\0":
        return code_of(packet) != 0
    asked = _question(question)
    return bool(asked) and _question(packet) == asked


def _question(packet: bytes) -> bytes:
    """The first question as it is on the wire, in lower case; empty when it is not complete.

    It precedes all other names, so it cannot be compressed.
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
    """Whether another server may have a better answer."""
    return code_of(packet) in _POOR_ANSWERS

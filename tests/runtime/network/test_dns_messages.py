"""Queries and answers as bytes: what is known here, what is for others, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.network.dns import messages
from dockmagic_runtime.network.dns.messages import Query
from dockmagic_runtime.network.dns.zone import Neighbourhood, Snapshot
from dockmagic_runtime.network.endpoints import NetworkEndpoint


def known(*endpoints: NetworkEndpoint, network: str = "back", **more: Any) -> Snapshot:
    neighbourhood = Neighbourhood(network)
    for number, endpoint in enumerate(endpoints):
        neighbourhood.add(f"{number:064x}", endpoint)
    return Snapshot((neighbourhood,), **more)


DB = NetworkEndpoint(
    name="db", aliases=("database",), ipv4="172.18.0.2", short_id="0123456789ab", hostname="srv"
)
BOTH = known(DB)


def ask(name: str, kind: str = "A", snapshot: Snapshot = BOTH, **more: Any) -> DNSRecord | None:
    question = DNSRecord.question(name, kind)
    query = messages.read(question.pack())
    assert isinstance(query, Query)
    packet = messages.answer(query, snapshot, **more)
    if packet is None:
        return None
    answer = DNSRecord.parse(packet)
    assert (answer.header.id, answer.header.qr) == (question.header.id, 1)
    assert answer.q == question.q
    return answer


def addresses(answer: DNSRecord | None) -> list[str]:
    assert answer is not None
    assert answer.header.rcode == RCODE.NOERROR
    return [str(record.rdata) for record in answer.rr]


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    "name", ["db", "database", "0123456789ab", "srv", "db.back", "database.back", "DB", "Db.BACK"]
)
def test_a_neighbour_has_all_its_names(name: str) -> None:
    assert addresses(ask(name)) == ["172.18.0.2"]


def test_the_question_comes_back_as_it_was_written() -> None:
    answer = ask("dB.bAcK")
    assert answer is not None
    assert str(answer.q.qname) == str(answer.rr[0].rname) == "dB.bAcK."


def test_addresses_are_good_for_ten_minutes() -> None:
    answer = ask("db")
    assert answer is not None
    assert [record.ttl for record in answer.rr] == [600]


@pytest.mark.parametrize("name", ["dbx", "back", "db.front", "db.back.x", "x.db", "example.com"])
def test_other_names_are_for_others(name: str) -> None:
    assert ask(name) is None


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "HTTPS", "SRV"])
def test_a_name_that_has_nothing_of_a_kind_exists_nevertheless(kind: str) -> None:
    assert addresses(ask("db", kind)) == []


def test_a_container_with_ipv6_answers_for_both() -> None:
    both = known(NetworkEndpoint(name="web", ipv4="172.18.0.3", ipv6="fd00::3"))
    assert addresses(ask("web", "AAAA", both)) == ["fd00::3"]
    assert sorted(addresses(ask("web", "ANY", both))) == ["172.18.0.3", "fd00::3"]


def test_a_shared_alias_has_all_addresses_in_any_order() -> None:
    those = [
        NetworkEndpoint(name=f"w{n}", aliases=("web",), ipv4=f"172.18.0.{n}") for n in range(2, 7)
    ]
    every = [endpoint.ipv4 for endpoint in those]
    assert addresses(ask("web", snapshot=known(*those), shuffle=list.reverse)) == every[::-1]
    first = {addresses(ask("web", snapshot=known(*those)))[0] for _ in range(200)}
    assert first == set(every)


def test_the_reverse_name_leads_to_name_and_network() -> None:
    assert addresses(ask("2.0.18.172.in-addr.arpa", "PTR")) == ["db.back."]
    six = known(NetworkEndpoint(name="web", ipv6="fd00:0::0:3"))
    reverse = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa"
    assert addresses(ask(reverse, "PTR", six)) == ["web.back."]


@pytest.mark.parametrize(
    "name",
    ["3.0.18.172.in-addr.arpa", "18.172.in-addr.arpa", "x.0.18.172.in-addr.arpa", "in-addr.arpa"],
)
def test_reverse_names_of_others_are_for_others(name: str) -> None:
    assert ask(name, "PTR") is None


@pytest.mark.parametrize("name", ["x" * 64, "ä", "a..b", ".".join(["long"] * 60)])
def test_names_that_no_message_can_carry_have_no_reverse(name: str) -> None:
    odd = known(NetworkEndpoint(name=name, ipv4="172.18.0.9"))
    assert ask("9.0.18.172.in-addr.arpa", "PTR", odd) is None


def test_a_link_wins_over_a_name_and_is_its_owners_alone() -> None:
    target = f"{0:064x}"
    linked = known(DB, NetworkEndpoint(name="store", ipv4="172.18.0.9"), links={"store": target})
    assert addresses(ask("store", snapshot=linked)) == ["172.18.0.2"]
    assert addresses(
        ask("store", snapshot=known(DB, NetworkEndpoint(name="store", ipv4="172.18.0.9")))
    )


def test_a_link_to_a_stopped_container_is_forwarded() -> None:
    assert ask("store", snapshot=known(DB, links={"store": "f" * 64})) is None


def test_bare_names_stay_inside_when_ndots_was_set() -> None:
    assert addresses(ask("unknown", local_only=True)) == []
    assert ask("unknown", "MX", local_only=True) is None
    assert ask("unknown.org", local_only=True) is None


def test_another_class_is_for_others() -> None:
    packet = DNSRecord(q=DNSQuestion("db", QTYPE.TXT, 3)).pack()  # CHAOS
    query = messages.read(packet)
    assert isinstance(query, Query)
    assert messages.answer(query, BOTH) is None


# ------------------------------------------------------------------ room


def _query(name: str, room: int = 0) -> Query:
    question = DNSRecord.question(name)
    if room:
        question.add_ar(EDNS0(udp_len=room))
    query = messages.read(question.pack())
    assert isinstance(query, Query)
    return query


MANY = known(
    *(NetworkEndpoint(name=f"w{n}", aliases=("web",), ipv4=f"172.18.1.{n}") for n in range(99))
)


def test_a_large_answer_is_cut_and_says_so() -> None:
    query = _query("web")
    whole = messages.answer(query, MANY)
    assert whole is not None
    cut = DNSRecord.parse(messages.fitting(whole, query))
    assert (cut.header.tc, cut.rr, cut.q) == (1, [], query.record.q)


def test_a_client_with_room_gets_the_large_answer() -> None:
    query = _query("web", room=4096)
    whole = messages.answer(query, MANY)
    assert whole is not None
    assert messages.fitting(whole, query) == whole
    assert [extra.rtype for extra in DNSRecord.parse(whole).ar] == [QTYPE.OPT]


# ------------------------------------------------------------------ other people's packets


@pytest.mark.parametrize("packet", [b"", b"\0" * 11, DNSRecord(DNSHeader(qr=1)).pack()])
def test_what_is_no_question_has_no_answer(packet: bytes) -> None:
    assert messages.read(packet) is None


def test_no_question_and_two_questions_are_malformed() -> None:
    two = DNSRecord.question("a")
    two.add_question(DNSQuestion("b"))
    for packet in (DNSRecord(DNSHeader()).pack(), two.pack()):
        refused = messages.read(packet)
        assert isinstance(refused, bytes)
        assert messages.code_of(refused) == messages.FORMAT_ERROR
        assert refused[:2] == packet[:2]


def test_other_operations_are_not_implemented() -> None:
    notify = DNSRecord(DNSHeader(opcode=4), q=DNSQuestion("db"))
    refused = messages.read(notify.pack())
    assert isinstance(refused, bytes)
    header = DNSRecord.parse(refused).header
    assert (header.rcode, header.opcode, header.id) == (RCODE.NOTIMP, 4, notify.header.id)


def test_names_that_point_at_themselves_are_malformed() -> None:
    packet = bytes(4) + b"\0\1" + bytes(6) + b"\xc0\x0c" + b"\0\1\0\1"
    refused = messages.read(packet)
    assert isinstance(refused, bytes)
    assert messages.code_of(refused) == messages.FORMAT_ERROR


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_no_packet_brings_the_decoder_down(noise: bytes) -> None:
    for packet in (noise, bytes(4) + b"\0\1" + bytes(6) + noise):
        query = messages.read(packet)
        if isinstance(query, Query):
            answer = messages.answer(query, BOTH) or messages.failure(query)
            assert answer[:2] == packet[:2]
            assert len(messages.fitting(answer, query)) <= query.room


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_damage_to_a_question_brings_the_decoder_down(data: st.DataObject) -> None:
    packet = bytearray(_query("database.back", room=1232).packet)
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    query = messages.read(bytes(packet[: data.draw(st.integers(0, len(packet)))]))
    assert query is None or isinstance(query, bytes | Query)


LABEL = st.text("abcxyzABC-_09", min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(LABEL, min_size=1, max_size=5), st.integers(0, 65535))
def test_an_answer_is_recognized_by_id_and_question(labels: list[str], number: int) -> None:
    question = DNSRecord(DNSHeader(id=number), q=DNSQuestion(".".join(labels))).pack()
    query = messages.read(question)
    assert isinstance(query, Query)
    answer = messages.failure(query)
    assert messages.is_answer_to(answer, question)
    assert messages.is_answer_to(answer.swapcase(), question) is (number == _swapped(number))
    assert not messages.is_answer_to(messages.with_id(answer, number ^ 1), question)
    assert not messages.is_answer_to(question, question)
    other = DNSRecord(DNSHeader(id=number), q=DNSQuestion(".".join(["x", *labels]))).pack()
    assert not messages.is_answer_to(answer, other)


def _swapped(number: int) -> int:
    return int.from_bytes(number.to_bytes(2, "big").swapcase(), "big")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_comes_back_can_be_compared(answer: bytes, question: bytes) -> None:
    assert messages.is_answer_to(answer, question) in (True, False)

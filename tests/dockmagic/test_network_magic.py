"""`%network` and `%network trace`: as text that can be compared, as a table, and as a picture."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from dockmagic.commands.network_draw import Drawn
from dockmagic.commands.network_trace import Traced
from dockmagic.widgets import bundle
from dockmagic_runtime.model.topology import Topology

from .values import make_topology, make_trace


def test_the_magic_draws_all_networks_or_one(run: Any, engine: Any) -> None:
    cell = run("%network")
    assert isinstance(cell.value, Drawn)
    assert isinstance(run("%network front").value, Drawn)
    assert [call for call in engine.calls if call[0] == "topology"] == [
        ("topology", ""),
        ("topology", "front"),
    ]


def test_dockers_own_verbs_go_on_working(run: Any, engine: Any) -> None:
    assert "network nothing not found" in run("%network inspect nothing").traceback[0]
    assert not [call for call in engine.calls if call[0] == "topology"]


def test_its_help_tells_of_both(run: Any) -> None:
    cell = run("%network --help")
    assert "trace" in cell.stdout


def test_the_stable_text_of_a_drawing_has_no_addresses() -> None:
    assert repr(Drawn(make_topology())).splitlines() == [
        "network back (internal)",
        "  db        eth0      names db",
        "  web       eth1      names web   9999 → 80/tcp, 127.0.0.1:9443 → 443/tcp",
        "network bridge",
        "network front",
        "  web       eth0      names web, www   9999 → 80/tcp, 127.0.0.1:9443 → 443/tcp",
        "without a network of their own",
        "  eye       host",
    ]


def test_the_whole_text_has_cables_and_addresses() -> None:
    text = str(Drawn(make_topology()))
    assert text.startswith("host machine\n  eth0      192.0.2.1/24\n")
    assert "network back (dmback, 172.18.0.0/16, gateway 172.18.0.1, internal)" in text
    assert re.search(r"web +eth1 172\.18\.0\.2 +veth2b3c4d5 +names web", text)


def test_rows_are_for_tables() -> None:
    rows = list(Drawn(make_topology()))
    assert [(row["network"], row["container"], row["address"]) for row in rows] == [
        ("back", "db", "172.18.0.3"),
        ("back", "web", "172.18.0.2"),
        ("front", "web", "172.19.0.2"),
    ]


def picture(result: Drawn | Traced) -> ElementTree.Element:
    html = bundle(result)["text/html"]
    return ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


def texts(svg: ElementTree.Element) -> list[str]:
    return ["".join(one.itertext()) for one in svg.iter() if one.tag.endswith("}text")]


def test_the_picture_has_every_box_and_every_cable() -> None:
    svg = picture(Drawn(make_topology()))
    shown = texts(svg)
    for text in ("machine", "back (internal)", "front", "db", "eye: host", "also named www",
                 "eth0 172.19.0.2  ⇄ veth1a2b3c4", "9999 → 80/tcp"):  # fmt: skip
        assert text in shown
    paths = [one for one in svg.iter() if one.tag.endswith("}path")]
    # two networks that lead outside, two different ports of the host, three cables
    assert len(paths) == 2 + 2 + 3
    assert svg.get("aria-label")


def test_boxes_stay_in_the_picture_and_do_not_overlap() -> None:
    svg = picture(Drawn(make_topology()))
    height = float(svg.get("viewBox", "").split()[3])
    boxes = [
        tuple(float(one.get(name, "0")) for name in ("x", "y", "width", "height"))
        for one in svg.iter()
        if one.tag.endswith("}rect")
    ]
    for x, y, wide, high in boxes:
        assert 0 <= x <= x + wide <= 900
        assert 0 <= y <= y + high <= height
    for number, (x, y, _, high) in enumerate(boxes):
        for left, top, _, _ in boxes[number + 1 :]:
            assert left != x or top >= y + high or top + high <= y


def test_without_networks_and_containers_a_sentence_is_enough() -> None:
    empty = Topology(hostname="machine", uplinks=(), bridges=(), nodes=())
    assert "no networks are in use" in bundle(Drawn(empty))["text/html"]


def test_names_cannot_carry_markup() -> None:
    node = make_topology().nodes[0]
    evil = Topology(
        hostname="<script>x</script>",
        uplinks=(("<b>", "192.0.2.1/24"),),
        bridges=make_topology().bridges,
        nodes=(type(node)(id=node.id, name="<i>", mode="", interfaces=node.interfaces),),
    )
    html = bundle(Drawn(evil))["text/html"]
    assert "<script" not in html
    assert "<b>1" not in html
    assert "<i>" not in html


# ------------------------------------------------------------------ trace


def test_the_stable_text_of_a_trace_says_what_was_counted() -> None:
    assert repr(Traced(make_trace("192.0.2.1:9999"))).splitlines() == [
        "192.0.2.1:9999 leads to web by address translation",
        "1 a program on this host connects to 192.0.2.1:9999",
        "2 nftables: published, from this host (+1 packet)",
        "3 the cable's end in the bridge",
        "4 httpd listens on port 80",
    ]


def test_the_whole_text_shows_the_rule_and_its_counter() -> None:
    text = str(Traced(make_trace("192.0.2.1:9999")))
    assert "chain publish_here, map published: tcp . 9999 : 172.19.0.2 . 80" in text
    assert "3 → 4 packets" in text
    assert "100 → 250 bytes" in text


def test_a_trace_to_localhost_goes_by_the_proxy_and_says_where_the_rules_are() -> None:
    text = str(Traced(make_trace("localhost:9999")))
    assert text.startswith("localhost:9999 leads to web by the port proxy\n")
    assert text.endswith("\ntrace 192.0.2.1:9999")


def test_where_nobody_answers_the_trace_says_so() -> None:
    assert "but nobody takes the connection" in repr(Traced(make_trace("192.0.2.1:1")))


def test_the_path_is_a_picture_with_counters() -> None:
    shown = texts(picture(Traced(make_trace("192.0.2.1:9999"))))
    assert "3 → 4 packets" in shown
    assert "nftables: published, from this host" in shown


def test_a_trace_in_a_cell(run: Any) -> None:
    assert isinstance(run("%network trace localhost:9999").value, Traced)
    assert "requires" in run("%network trace").traceback[0]


@pytest.mark.parametrize("result", [Drawn(make_topology()), Traced(make_trace("localhost:9999"))])
def test_a_deterministic_bundle_has_no_cable_and_no_picture(result: Drawn | Traced) -> None:
    html = bundle(result, deterministic=True)["text/html"]
    assert "veth" not in html
    assert "<svg" not in html


# ------------------------------------------------------------------ completion


def test_completion_offers_what_can_be_drawn_traced_and_done(shell: Any, run: Any) -> None:
    run("%docker run -d --name web -p 9999:80 httpd")
    complete = shell._dockmagic_extension.completer.candidates
    assert ("front", "network") in complete("%network fr", "fr")
    assert ("trace", "verb") in complete("%network ", "")
    assert ("localhost:9999", "port") in complete("%network trace ", "")
    assert ("web", "container") in complete("%network connect front w", "w")
    assert ("trace", "verb") in complete("%docker network tr", "tr")

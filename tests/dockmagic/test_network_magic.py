"""`%network` and `%network trace`: as text that can be compared, as a table, and as a picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from dockmagic.commands.network.draw import Drawn
from dockmagic.commands.network.trace import Traced
from dockmagic.widgets import bundle
from dockmagic.widgets.html import GREEN
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


def test_its_help_has_both(run: Any) -> None:
    cell = run("%network --help")
    assert "trace" in cell.stdout


def test_the_stable_text_of_a_drawing_has_no_addresses() -> None:
    assert repr(Drawn(make_topology())).splitlines() == [
        "network back (internal)",
        "  db        eth0      names db",
        "  web       eth1      names web",
        "network bridge",
        "network front",
        "  web       eth0      names web, www   9999 → 80/tcp, 127.0.0.1:9443 → 443/tcp",
        "without a network of their own",
        "  eye       host",
    ]


def test_the_whole_text_has_veths_and_addresses() -> None:
    text = str(Drawn(make_topology()))
    assert text.startswith("host machine\n  eth0      192.0.2.1/24\n")
    assert "network back (dmback, 172.18.0.0/16, gateway 172.18.0.1, internal)" in text
    assert re.search(r"web +eth1 172\.18\.0\.2 +veth2b3c4d5 +names web", text)


def test_the_text_has_default_routes_and_what_the_kernel_lacks() -> None:
    top = make_topology()
    ends = tuple(replace(end, is_connected=False) for end in top.nodes[-1].interfaces)
    changed = replace(
        top,
        gateways=(("eth0", "192.0.2.254"), ("eth0", "fe80::1"), ("eth9", "192.0.2.253")),
        bridges=(replace(top.bridges[0], exists=False), *top.bridges[1:]),
        nodes=(*top.nodes[:-1], replace(top.nodes[-1], interfaces=ends)),
    )
    text = str(Drawn(changed))
    assert "  eth0      192.0.2.1/24   gateway 192.0.2.254\n" in text
    assert "its bridge does not exist now)" in text
    assert "(not in the bridge)" in text
    assert repr(Drawn(changed)) == repr(Drawn(top))


def test_rows_are_for_tables() -> None:
    rows = list(Drawn(make_topology()))
    assert [(row["network"], row["container"], row["address"]) for row in rows] == [
        ("back", "db", "172.18.0.3"),
        ("back", "web", "172.18.0.2"),
        ("front", "web", "172.19.0.2"),
    ]


def pictures(result: Drawn | Traced) -> list[ElementTree.Element]:
    texts = re.findall("<svg.*?</svg>", bundle(result)["text/html"], re.DOTALL)
    return [ElementTree.fromstring(text) for text in texts]


def picture(result: Drawn | Traced) -> ElementTree.Element:
    (picture,) = pictures(result)
    return picture


def texts(svg: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in svg.iter() if element.tag.endswith("}text")]


def test_the_picture_has_every_box_and_every_veth() -> None:
    svg = picture(Drawn(make_topology()))
    shown = texts(svg)
    for text in ("machine", "back (internal)", "front", "db", "eye: host", "also named www",
                 "eth0 172.19.0.2  ⇄ veth1a2b3c4", "9999 → 80/tcp"):  # fmt: skip
        assert text in shown
    paths = [element for element in svg.iter() if element.tag.endswith("}path")]
    # two networks that lead outside, two different ports of the host, three veth pairs
    assert len(paths) == 2 + 2 + 3
    assert svg.get("aria-label")


def green_ends(svg: ElementTree.Element) -> set[str]:
    """Where the lines of published ports end, as coordinates."""
    paths = [element.get("d", "") for element in svg.iter() if element.get("stroke") == GREEN]
    return {path.rpartition(" C")[2].split(" ", 4)[4] for path in paths if path}


def test_the_green_line_leads_through_the_network_that_ports_lead_to() -> None:
    top = make_topology()
    web = top.nodes[2]
    front, back = web.interfaces
    turned = replace(
        web, interfaces=(replace(front, is_way_in=False), replace(back, is_way_in=True))
    )
    other = Drawn(replace(top, nodes=(*top.nodes[:2], turned)))
    assert len(green_ends(picture(other))) == 2  # one bridge, one end in the container
    assert green_ends(picture(other)).isdisjoint(green_ends(picture(Drawn(top))))
    rows = {(row["network"], row["container"]): row["ports"] for row in other}
    assert rows["front", "web"] == ""
    assert "9999 → 80/tcp" in rows["back", "web"]


def test_both_subnets_of_a_network_are_shown() -> None:
    top = make_topology()
    both = Drawn(replace(top, bridges=(replace(top.bridges[0], subnet6="fd00:9::/64"),)))
    assert "172.18.0.0/16, fd00:9::/64, gateway 172.18.0.1" in str(both)
    assert "fd00:9::/64" in texts(picture(both))


def test_boxes_stay_in_the_picture_and_do_not_overlap() -> None:
    svg = picture(Drawn(make_topology()))
    height = float(svg.get("viewBox", "").split()[3])
    boxes = [
        tuple(float(element.get(name, "0")) for name in ("x", "y", "width", "height"))
        for element in svg.iter()
        if element.tag.endswith("}rect")
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
        "2 nftables: published, from this host (its counter went up)",
        "3 the bridge of network front",
        "4 the veth pair's end in the bridge",
        "5 httpd listens on port 80",
        "6 the answer goes back under the address that was asked",
    ]


def test_the_whole_text_shows_the_rule_and_its_counter() -> None:
    lines = str(Traced(make_trace("192.0.2.1:9999"))).splitlines()
    at = lines.index("2 nftables: published, from this host")
    assert lines[at + 1 : at + 5] == [
        "    192.0.2.1:9999 becomes 172.19.0.2:80",
        "    table ip dockmagic, chain publish_here",
        "    map published: tcp . 9999 : 172.19.0.2 . 80",
        "    3 → 4 packets",
    ]
    assert "    100 → 250 bytes" in lines


@pytest.mark.parametrize("shown", [str, repr])
def test_a_trace_to_localhost_shows_both_ways_and_why(shown: Callable[[object], str]) -> None:
    here, own, remark = shown(Traced(make_trace("localhost:9999"))).split("\n\n")
    assert here.startswith("localhost:9999 leads to web by the port proxy\n1 ")
    assert "nftables" not in here
    assert own.startswith("this host's own address leads to web by address translation\n1 ")
    assert "nftables: published, from this host" in own
    assert remark == "loopback is never translated"


def test_the_stable_text_of_both_ways_has_no_addresses_and_no_counts() -> None:
    assert not re.search(
        r"\d+\.\d+\.\d|veth[0-9a-f]{7}|→", repr(Traced(make_trace("localhost:9999")))
    )


def test_without_an_answer_the_trace_says_so() -> None:
    text = repr(Traced(make_trace("192.0.2.1:1")))
    assert "by address translation, but no program takes the connection there\n" in text


def test_the_rows_of_a_trace_have_their_way() -> None:
    rows = list(Traced(make_trace("localhost:9999")))
    assert [(row["way"], row["before"], row["after"]) for row in rows if row["before"] >= 0] == [
        ("proxy", 100, 250),
        ("translated", 3, 4),
        ("translated", 100, 250),
    ]


def test_the_path_is_a_picture_with_counters() -> None:
    shown = texts(picture(Traced(make_trace("192.0.2.1:9999"))))
    assert "3 → 4 packets" in shown
    assert "nftables: published, from this host" in shown
    assert "map published: tcp . 9999 : 172.19.0.2 . 80" in shown


def tops(svg: ElementTree.Element) -> dict[str, float]:
    """Where each station begins, by its first line; all are inside the picture."""
    positions: dict[str, float] = {}
    wide, high = map(float, svg.get("viewBox", "").split()[2:])
    for group in (group for group in svg if group.tag.endswith("}g")):
        x, y, width, height = (
            float(group[0].get(name, "")) for name in ("x", "y", "width", "height")
        )
        assert 0 <= x <= x + width <= wide
        assert 0 <= y <= y + height <= high
        positions[texts(group)[0]] = y
    return positions


def test_two_ways_stand_side_by_side_and_what_both_pass_is_at_one_height() -> None:
    here, own = pictures(Traced(make_trace("localhost:9999")))
    assert (texts(here)[0], texts(own)[0]) == ("by the port proxy", "by address translation")
    assert here.get("viewBox") == own.get("viewBox")
    for common in ("the bridge of network front", "the veth pair's end in the bridge"):
        assert tops(here)[common] == tops(own)[common]


def test_a_long_name_is_wrapped_and_stays_in_its_box() -> None:
    trace = make_trace("localhost:9999")
    hop = replace(trace.routes[0].hops[1], what=f"{'web' * 12}'s port proxy holds it, too")
    here = replace(trace.routes[0], hops=(trace.routes[0].hops[0], hop, *trace.routes[0].hops[2:]))
    shown = texts(pictures(Traced(replace(trace, routes=(here, trace.routes[1]))))[0])
    assert max(map(len, shown)) < 70
    assert hop.what in " ".join(shown)


@pytest.mark.parametrize("shown", [str, repr])
def test_the_name_of_a_program_cannot_steer_a_terminal(shown: Callable[[object], str]) -> None:
    trace = make_trace("192.0.2.1:9999")
    hops = tuple(replace(hop, what="\x1b[2J\nhttpd listens") for hop in trace.routes[0].hops)
    routes = (replace(trace.routes[0], hops=hops),)
    text = shown(Traced(replace(trace, routes=routes)))
    assert "\x1b" not in text
    assert not re.search("^httpd", text, re.MULTILINE)


def test_a_trace_cannot_carry_markup() -> None:
    trace = make_trace("localhost:9999")
    evil = "<script>x</script>"
    hops = tuple(replace(hop, what=evil, detail=evil, rule=evil) for hop in trace.routes[0].hops)
    route = replace(trace.routes[0], name=evil, failure=evil, hops=hops)
    traced = Traced(replace(trace, target=evil, container=evil, remark=evil, routes=(route,)))
    for deterministic in (False, True):
        assert "<script" not in bundle(traced, deterministic=deterministic)["text/html"]


def test_a_trace_in_a_cell(run: Any) -> None:
    assert isinstance(run("%network trace localhost:9999").value, Traced)
    assert "requires" in run("%network trace").traceback[0]


@pytest.mark.parametrize("result", [Drawn(make_topology()), Traced(make_trace("localhost:9999"))])
def test_a_deterministic_bundle_has_no_veth_name_and_no_picture(result: Drawn | Traced) -> None:
    html = bundle(result, deterministic=True)["text/html"]
    assert not re.search("veth[0-9a-f]{7}", html)
    assert "<svg" not in html


# ------------------------------------------------------------------ completion


def test_completion_offers_what_can_be_drawn_traced_and_done(shell: Any, run: Any) -> None:
    run("%docker run -d --name web -p 9999:80 httpd")
    complete = shell._dockmagic_extension.completer.candidates
    assert ("front", "network") in complete("%network fr")[1]
    assert ("trace", "verb") in complete("%network ")[1]
    assert ("localhost:9999", "port") in complete("%network trace ")[1]
    assert ("web", "container") in complete("%network connect front w")[1]
    assert ("trace", "verb") in complete("%docker network tr")[1]

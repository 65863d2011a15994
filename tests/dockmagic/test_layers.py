"""`layers`: the stack as text, rows, JSON and HTML; two images; the origin of a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.image.layers import Layers
from dockmagic.commands.options.flags import WrongUsage
from dockmagic.commands.output.text_tree import lines, printable
from dockmagic.widgets import bundle


@pytest.fixture
def layers(engine: Any) -> Any:
    def layers(line: str) -> Any:
        return commands.execute(engine, commands.parse(["layers", *line.split()]))

    return layers


def test_the_stack_with_its_waste(layers: Any) -> None:
    text = str(layers("httpd")).splitlines()
    assert text[0].split() == "# LAYER SIZE WASTED FILES SHARED WITH CREATED BY".split()
    assert text[1].split()[:5] == ["1", "2" * 12, "10MB", "1MB", "500A"]
    assert text[2].split()[3:5] == ["0B", "1C"]
    assert text[4] == (
        "Efficiency 90.0%: 1MB of 10MB are in files that a later layer replaces or removes"
    )
    assert text[6].split() == ["1MB", "1", "replaced", "by", "2", "/etc/<b>motd</b>"]


def test_the_stable_form_has_numbers_and_instructions(layers: Any) -> None:
    assert [line.split()[:2] for line in repr(layers("httpd")).splitlines()] == [
        ["#", "CREATED"],
        ["1", "ADD"],
        ["2", "RUN"],
    ]


def test_the_files_as_a_tree(layers: Any) -> None:
    text = str(layers("--tree httpd"))
    assert "2  RUN echo '<script>alert(1)</script>'\n  etc/\nC   <b>motd<\n" not in text
    assert "1  ADD rootfs.tar /\n  usr/\n    bin/\nA     f0\nA     f1  (1B)\n" in text
    assert "C     b>  (20B)" in text


def test_a_tree_has_each_directory_once_and_no_control_characters() -> None:
    paths = [("/a", "C", ""), ("/a/b/c", "A", "1B"), ("/a/b/d", "D", ""), ("/e\x1b[2J", "A", "")]
    assert lines(paths) == ["C a", "    b/", "A     c  (1B)", "D     d", "A e\\x1b[2J"]
    assert printable("a\udcff\x07é\t") == "a\\udcff\\x07é\t"


def test_what_is_not_listed_is_counted(layers: Any, engine: Any) -> None:
    analysis = engine.images.analyze("httpd")
    first = replace(analysis.layers[0], files=analysis.layers[0].files[:2])
    engine.images.analyze = lambda _: replace(analysis, layers=(first, *analysis.layers[1:]))
    assert "… and 498 more" in str(layers("--tree httpd"))


def test_as_a_data_frame(layers: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="optional: pandas is not installed")
    frame = pandas.DataFrame(layers("httpd"))
    assert list(frame["size"]) == [10_000_000, 20]
    assert list(frame["added"] + frame["changed"]) == [500, 1]
    assert list(frame["wasted"]) == [1_000_002, 0]
    files = pandas.DataFrame(layers("httpd").file_rows())
    assert list(files.groupby("layer").size()) == [500, 1]
    assert files.iloc[-1].to_dict() == {
        "layer": 2,
        "kind": "C",
        "path": "/etc/<b>motd</b>",
        "size": 20,
    }


def test_as_json_whole_or_a_line_for_each(layers: Any) -> None:
    document = json.loads(str(layers("--format json httpd")))
    assert document["WastedBytes"] == 1_000_002
    assert document["Efficiency"] == pytest.approx(0.9, abs=0.001)
    assert document["WastedFiles"][0]["Path"] == "/etc/<b>motd</b>"
    assert [len(layer["Files"]) for layer in document["Layers"]] == [500, 1]
    result = layers("httpd --format {{.Number}}:{{.Bytes}}")
    assert str(result) == "1:10000000\n2:20"
    assert str(layers("-q httpd")) == f"{'2' * 12}\n{'4' * 12}"


def test_two_images(layers: Any) -> None:
    result = layers("httpd busybox")
    assert [line.split()[:2] for line in str(result).splitlines()[:3]] == [
        ["IN", "#"],
        ["both", "1"],
        ["httpd", "2"],
    ]
    assert "shared: 10MB in 1 layer; httpd has 20B of its own, busybox 0B" in str(result)
    assert [row["in"] for row in result] == ["both", "httpd"]
    document = json.loads(str(layers("httpd busybox --format json")))
    assert [layer["In"] for layer in document["Layers"]] == ["both", "httpd"]
    assert document["SharedBytes"] == 10_000_000


def test_the_origin_of_a_file(layers: Any) -> None:
    result = layers("--file /etc/motd httpd")
    assert str(result).splitlines()[:4] == [
        "/etc/motd: from layer 2 of 1",
        "A layer 1  ADD <i>",
        "    file  rw-r--r--  0:0  0B  too large for a digest",
        "C layer 2  RUN x",
    ]
    assert str(result).splitlines()[-1] == "    +<b>new\\x1b[2J"
    assert [row["kind"] for row in result] == ["A", "C"]
    document = json.loads(str(layers("--file /etc/motd httpd --format json")))
    assert document["Versions"][1]["Diff"] == ["-old", "+<b>new\x1b[2J"]
    assert document["Versions"][1]["Mode"] == "0600"


def test_nothing_of_a_file_reaches_the_page_unescaped(layers: Any) -> None:
    for line in ("httpd", "httpd busybox", "--file /etc/<b>motd</b> httpd"):
        html = bundle(layers(line))["text/html"]
        assert "<script>" not in html
        assert "<b>" not in html
        assert "<i>" not in html
        assert "\x1b" not in html


def test_what_does_not_go_together_is_refused(layers: Any) -> None:
    with pytest.raises(WrongUsage, match="--file looks into one image"):
        layers("--file /x httpd busybox")
    with pytest.raises(WrongUsage, match="only --format json goes with"):
        layers("--format {{.ID}} httpd busybox")


def test_a_magic_gives_the_object(layers: Any) -> None:
    table = layers("httpd")
    assert isinstance(table, Layers)
    assert table.anatomy.wasted_files == 1
    assert len(table) == 2

"""JSON of values with bytes that are no UTF-8."""

from __future__ import annotations

import json

import pytest

from dockmagic_runtime.model import lenient_json


@pytest.mark.parametrize(
    "values",
    [
        {"argv": ["echo", "caf\xe9 \U0001f40b"], "pid": 7, "none": None},
        {"argv": ["\udcff"], "label\udc80": "x"},
    ],
    ids=["text", "bytes"],
)
def test_what_is_encoded_is_decoded_as_it_was(values: dict[str, object]) -> None:
    assert lenient_json.decode(lenient_json.encode(values)) == values


def test_files_of_earlier_versions_are_read() -> None:
    values = {"argv": ["\udcff", "caf\xe9"]}
    assert lenient_json.decode(json.dumps(values).encode()) == values


@pytest.mark.parametrize("data", [b"", b"{", b"\xff"], ids=["empty", "cut", "no text"])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|data|decode|Expecting"):
        lenient_json.decode(data)

from __future__ import annotations

from dockmagic_runtime.model.suggest import did_you_mean, similar


def test_letters_that_changed_places_are_the_likeliest_slip() -> None:
    assert similar("imagse", ["image", "images", "import"]) == ["images", "image"]


def test_what_is_far_away_is_not_meant() -> None:
    assert similar("web", ["database", "proxy"]) == []


def test_at_most_as_many_as_are_wanted_are_named() -> None:
    names = ["web1", "web2", "web3", "web4"]
    assert len(similar("web", names, 2)) == 2
    assert did_you_mean("web", ["web1"], 3) == "did you mean web1?"
    assert " or " in did_you_mean("web", names, 2)


def test_a_hint_says_something_else_where_nothing_is_near() -> None:
    assert did_you_mean("x", ["database"], otherwise="see the list") == "see the list"
    assert did_you_mean("x", []) == ""

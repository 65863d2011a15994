from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.sandbox.users import Identity, resolve

PASSWD = """root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www:/var/www:/usr/sbin/nologin
jovyan:x:1000:100::/home/jovyan:/bin/bash
broken line
1234:x:77:78:a name of digits:/home/1234:/bin/sh
"""
GROUP = """root:x:0:
users:x:100:
www-data:x:33:
docker:x:999:jovyan,www-data
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(PASSWD)
    (tmp_path / "etc" / "group").write_text(GROUP)
    with Root.at(str(tmp_path)) as root:
        yield root


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Identity(0, 0, (0,), "/root")),
        ("www-data", Identity(33, 33, (33, 999), "/var/www")),
        ("1000", Identity(1000, 100, (100, 999), "/home/jovyan")),
        ("jovyan:docker", Identity(1000, 999, (999,), "/home/jovyan")),
        ("4000", Identity(4000, 0, (0,), "/")),
        ("4000:4001", Identity(4000, 4001, (4001,), "/")),
        ("1234", Identity(77, 78, (78,), "/home/1234")),  # a name wins over a number
    ],
)
def test_users_come_from_the_containers_own_files(
    root: Root, user: str, expected: Identity
) -> None:
    assert resolve(root, user) == expected


def test_group_add_takes_names_and_numbers(root: Root) -> None:
    assert resolve(root, "www-data", ("users", "5")).groups == (33, 999, 100, 5)


def test_an_unknown_name_is_dockers_error(root: Root) -> None:
    with pytest.raises(InvalidInput, match="unable to find user nobody: no matching entries"):
        resolve(root, "nobody")


def test_row13_a_given_group_is_the_only_one(root: Root) -> None:
    """CVE-2022-36109: supplementary groups of an image must not widen what was asked for."""
    assert resolve(root, "1000:1000").groups == (1000,)


def test_row14_an_id_above_31_bits_is_refused(root: Root) -> None:
    """CVE-2024-40635: 4294967296 would wrap to root."""
    for user in ("4294967296", "2147483648", "0:4294967296"):
        with pytest.raises(InvalidInput, match="must be in range"):
            resolve(root, user)


def test_an_image_without_passwd_takes_numbers(tmp_path: Path) -> None:
    with Root.at(str(tmp_path)) as bare:
        assert resolve(bare, "7:8") == Identity(7, 8, (8,), "/")

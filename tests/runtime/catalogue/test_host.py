from __future__ import annotations

from pathlib import Path

import pytest

from dockmagic_runtime.catalogue import host as host_module
from dockmagic_runtime.catalogue.host import HostPackages, read_host, read_os_release, require_tool
from dockmagic_runtime.errors import Unsupported

ANSWERS = dict[str, str]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> ANSWERS:
    """What apt says on the fake host, by program."""
    said: ANSWERS = {}
    monkeypatch.setattr(host_module, "_apt", lambda program, *_arguments: said.get(program, ""))
    return said


def _fake_host(root: Path, files: dict[str, str]) -> Path:
    release = 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12"\n'
    for name, text in {"etc/os-release": release, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


ONE_LINE = {"etc/apt/sources.list": "deb http://mirror/debian bookworm main\n"}


def test_both_formats_are_found_where_apt_looks(tmp_path: Path, answers: ANSWERS) -> None:
    stanza = "Types: deb\nURIs: http://mirror/sec\nSuites: bookworm-security\nComponents: main\n"
    root = _fake_host(
        tmp_path,
        {
            **ONE_LINE,
            "etc/apt/sources.list.d/b.sources": stanza,
            "etc/apt/sources.list.d/a.list": "deb http://mirror/up bookworm-updates main\n",
            "etc/apt/sources.list.d/old.list.save": "deb http://no/no bookworm main\n",
        },
    )
    host = read_host(root)
    assert [source.uris for source in host.sources] == [
        ("http://mirror/debian",),
        ("http://mirror/up",),
        ("http://mirror/sec",),
    ]
    assert host.name == "Debian GNU/Linux 12"


def test_a_host_without_sources_is_told_what_to_do(tmp_path: Path, answers: ANSWERS) -> None:
    with pytest.raises(Unsupported, match="no package source of Debian GNU/Linux 12"):
        read_host(_fake_host(tmp_path, {}))


def test_sources_whose_origin_is_somebody_else_are_left_out(
    tmp_path: Path, answers: ANSWERS
) -> None:
    answers["apt-get"] = (
        "http://mirror/debian/|bookworm|Debian\nhttps://vpn.example/|bookworm|Vpn\n"
    )
    lines = ONE_LINE["etc/apt/sources.list"] + "deb https://vpn.example bookworm main\n"
    host = read_host(_fake_host(tmp_path, {"etc/apt/sources.list": lines}))
    assert [source.uris for source in host.sources] == [("http://mirror/debian",)]


def test_a_mirror_that_signs_all_as_its_own_is_still_used(tmp_path: Path, answers: ANSWERS) -> None:
    answers["apt-get"] = "http://mirror/debian/|bookworm|Company Mirror\n"
    assert read_host(_fake_host(tmp_path, ONE_LINE)).sources


def test_keys_and_certificates_the_sources_need_are_listed(
    tmp_path: Path, answers: ANSWERS
) -> None:
    answers["apt-config"] = 'Acquire::https::CAInfo "/etc/company.pem";\n'
    root = _fake_host(
        tmp_path,
        {
            "etc/apt/sources.list": "deb https://mirror/debian bookworm main\n"
            "deb [signed-by=/usr/share/keyrings/s.gpg] https://mirror/s bookworm-security main\n",
            "etc/apt/trusted.gpg.d/company.gpg": "",
            "etc/ssl/certs/ca-certificates.crt": "",
            "usr/local/share/ca-certificates/company.crt": "",
        },
    )
    assert read_host(root).files == (
        "/usr/share/keyrings/s.gpg",
        "/etc/apt/trusted.gpg.d/company.gpg",
        "/etc/company.pem",
        "/etc/ssl/certs/ca-certificates.crt",
        "/usr/local/share/ca-certificates/company.crt",
    )


def test_settings_that_reach_the_sources_are_taken_and_others_not(
    tmp_path: Path, answers: ANSWERS
) -> None:
    answers["apt-config"] = (
        'APT "";\nAPT::Install-Recommends "1";\nAcquire::http::Proxy "http://localhost:3142";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::cdrom::mount "/media/cdrom/";\n'
    )
    host = read_host(_fake_host(tmp_path, ONE_LINE))
    assert host.apt_text() == (
        'Acquire::http::Proxy "http://localhost:3142";\nAcquire::Check-Valid-Until "false";\n'
    )


def _host(**settings: str) -> HostPackages:
    pairs = tuple((name.replace("__", "::"), value) for name, value in settings.items())
    return HostPackages(name="x", codename="y", sources=(), apt_settings=pairs, files=())


def test_passwords_and_paths_of_the_host_are_not_kept_in_images() -> None:
    host = _host(
        Acquire__http__Proxy="http://user:secret@proxy:3142",
        Acquire__https__SslKey="/etc/ssl/private/key.pem",
        Acquire__https__CAInfo="/etc/company.pem",
    )
    assert "secret" in host.apt_text(secrets=True)
    assert host.apt_text() == 'Acquire::https::CAInfo "/etc/company.pem";\n'


def test_the_fingerprint_follows_the_facts() -> None:
    assert _host().fingerprint == _host().fingerprint
    assert _host().fingerprint != _host(Acquire__Retries="3").fingerprint


def test_a_missing_os_release_is_no_error(tmp_path: Path) -> None:
    assert read_os_release(tmp_path) == {}


def test_a_missing_tool_names_its_package() -> None:
    with pytest.raises(Unsupported, match="apt-get install some-package"):
        require_tool("no-such-program", "some-package")


def test_this_host_can_be_read() -> None:
    assert read_host().sources

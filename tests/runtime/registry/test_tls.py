"""What a TLS connection is checked with, and when the host's authorities are read for it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.registry import tls
from dockmagic_runtime.registry.endpoint import Url
from dockmagic_runtime.registry.errors import RegistryUnreachable

from .conftest import Connect, make_certificate

ONE, OTHER = Url("https", "one.example", 443), Url("https", "other.example", 443)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The host's authorities: one, in a file of our own."""
    certificate, _ = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    tls._hosts.cache_clear()
    yield certificate
    tls._hosts.cache_clear()


def test_the_hosts_authorities_are_read_once(bundle: Path) -> None:
    context = tls.context(ONE, ())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
    assert tls.context(OTHER, ()) is context


def test_the_hosts_authorities_are_read_again_once_their_file_has_changed(bundle: Path) -> None:
    before = tls.context(ONE, ())
    os.utime(bundle, (1, 1))
    assert tls.context(ONE, ()) is not before


def test_a_registrys_own_authority_is_trusted_for_it_alone(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "certs.d" / ONE.authority
    folder.mkdir(parents=True)
    own, _ = make_certificate(folder)
    own.rename(folder / "ca.crt")
    folders = (tmp_path / "certs.d",)
    assert len(tls.context(ONE, folders).get_ca_certs()) == 2
    assert len(tls.context(OTHER, folders).get_ca_certs()) == 1
    assert len(tls.context(ONE, ()).get_ca_certs()) == 1


def test_an_insecure_registry_needs_no_authority(bundle: Path) -> None:
    context = tls.context(ONE, (), insecure=True)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.get_ca_certs() == []
    assert tls.context(ONE, ()).verify_mode is ssl.CERT_REQUIRED


def test_no_authority_is_read_for_a_server_that_does_not_answer(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*_: object, **__: object) -> ssl.SSLContext:
        raise AssertionError("a context takes 40 ms")

    monkeypatch.setattr(tls, "context", unexpected)
    with pytest.raises(RegistryUnreachable, match="connection refused"):
        connect("127.0.0.1:9").manifest("app", "1")

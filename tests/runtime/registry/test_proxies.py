from __future__ import annotations

import pytest

from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.registry.proxies import Proxy, proxy_for

PROXY = {"HTTPS_PROXY": "http://proxy.test:3128"}


def _is_direct(host: str, exceptions: str, port: int = 443) -> bool:
    return proxy_for("https", host, port, {**PROXY, "NO_PROXY": exceptions}) is None


def test_the_scheme_chooses_the_variable() -> None:
    environment = {"https_proxy": "secure.test:1", "http_proxy": "plain.test"}
    assert proxy_for("https", "a.test", 443, environment) == Proxy("secure.test", 1)
    assert proxy_for("http", "a.test", 80, environment) == Proxy("plain.test", 80)
    assert proxy_for("https", "a.test", 443, {}) is None


def test_a_proxys_password_is_sent_and_not_shown() -> None:
    environment = {"HTTPS_PROXY": "http://me:s%20cret@proxy.test:3128"}
    proxy = proxy_for("https", "a.test", 443, environment)
    assert proxy is not None
    assert proxy.authorization == "Basic bWU6cyBjcmV0"
    assert "bWU6" not in repr(proxy)
    assert str(proxy) == "http://proxy.test:3128"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    assert proxy_for("https", host, 443, PROXY) is None


@pytest.mark.parametrize(
    ("exceptions", "host", "is_direct"),
    [
        ("*", "a.test", True),
        ("a.test", "a.test", True),
        ("a.test", "b.a.test", True),
        ("a.test", "ba.test", False),
        (".a.test", "a.test", False),
        (".a.test", "b.a.test", True),
        ("*.a.test", "b.a.test", True),
        ("*.a.test", "a.test", False),
        ("A.TEST", "a.test", True),
        ("x.test, a.test", "a.test", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:444", "fd00::1", False),
        ("a.test:443", "a.test", True),
        ("a.test:444", "a.test", False),
        ("", "a.test", False),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(exceptions: str, host: str, is_direct: bool) -> None:
    assert _is_direct(host, exceptions) == is_direct


def test_a_socks_proxy_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="socks5"):
        proxy_for("https", "a.test", 443, {"HTTPS_PROXY": "socks5://p.test:1"})

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.registry.endpoint import RegistryConfig, RegistryEndpoint, split_host


def _config(folder: Path, document: object) -> RegistryConfig:
    path = folder / "daemon.json"
    path.write_text(json.dumps(document))
    return RegistryConfig.read(path)


def test_docker_hub_is_asked_at_its_own_endpoint_over_tls() -> None:
    (endpoint,) = RegistryConfig().endpoints("docker.io")
    assert str(endpoint) == "https://registry-1.docker.io"
    assert [str(origin) for origin in endpoint.origins] == ["https://registry-1.docker.io"]
    assert endpoint.credentials_key == "https://index.docker.io/v1/"


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"])
def test_a_registry_on_this_machine_may_do_without_tls(host: str) -> None:
    origins = RegistryEndpoint.of(host).origins
    assert [str(origin) for origin in origins] == [f"https://{host}", f"http://{host}"]


def test_without_a_port_plain_http_is_asked_at_port_80() -> None:
    assert [str(origin) for origin in RegistryEndpoint.of("localhost").origins] == [
        "https://localhost",
        "http://localhost",
    ]


def test_any_other_registry_is_asked_over_tls_only() -> None:
    endpoint = RegistryEndpoint.of("registry.test:5000")
    assert [str(origin) for origin in endpoint.origins] == ["https://registry.test:5000"]
    assert endpoint.credentials_key == "registry.test:5000"


def test_mirrors_come_before_docker_hub_and_for_it_alone(tmp_path: Path) -> None:
    config = _config(tmp_path, {"registry-mirrors": ["https://m.test/hub/", "http://127.0.0.1:5"]})
    assert [str(endpoint) for endpoint in config.endpoints("docker.io")] == [
        "https://m.test/hub",
        "http://127.0.0.1:5",
        "https://registry-1.docker.io",
    ]
    assert [str(endpoint) for endpoint in config.endpoints("r.test")] == ["https://r.test"]


def test_a_mirror_has_credentials_of_its_own(tmp_path: Path) -> None:
    config = _config(tmp_path, {"registry-mirrors": ["https://m.test:5000"]})
    assert config.endpoints("docker.io")[0].credentials_key == "m.test:5000"


@pytest.mark.parametrize("mirror", ["m.test", "ftp://m.test", "https://u:p@m.test", "https://"])
def test_a_mirror_that_cannot_be_asked_is_refused(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(InvalidInput, match="invalid mirror"):
        _config(tmp_path, {"registry-mirrors": [mirror]}).endpoints("docker.io")


def test_insecure_registries_are_named_by_host_or_by_network(tmp_path: Path) -> None:
    config = _config(tmp_path, {"insecure-registries": ["r.test:5000", "10.0.0.0/8"]})
    insecure = ["r.test:5000", "10.1.2.3:5000", "10.1.2.3"]
    secure = ["r.test", "r.test:5001", "11.1.2.3:5000"]
    assert all(config.endpoints(name)[0].is_insecure for name in insecure)
    assert not any(config.endpoints(name)[0].is_insecure for name in secure)


def test_no_file_configures_nothing(tmp_path: Path) -> None:
    assert RegistryConfig.read(tmp_path / "missing.json") == RegistryConfig()


@pytest.mark.parametrize("document", ["[]", '{"registry-mirrors": "x"}', "{"])
def test_a_malformed_file_is_named(tmp_path: Path, document: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(document)
    with pytest.raises(InvalidInput, match=r"daemon\.json"):
        RegistryConfig.read(path)


@pytest.mark.parametrize("text", ["", "a b:x", "a:99999", "u@a", "a/b"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        split_host(text)

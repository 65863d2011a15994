"""The engine in this process fulfils the interface that others can fulfil too."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import dockmagic_runtime
from dockmagic_runtime import EngineApi, ProcessApi
from dockmagic_runtime.engine import interface
from dockmagic_runtime.engine.builds import LocalBuilds
from dockmagic_runtime.engine.containers import LocalContainers
from dockmagic_runtime.engine.engine import Engine
from dockmagic_runtime.engine.images import LocalImages
from dockmagic_runtime.engine.manifests import LocalManifests
from dockmagic_runtime.engine.networks import LocalNetworks
from dockmagic_runtime.engine.system import LocalSystem
from dockmagic_runtime.engine.volumes import LocalVolumes
from dockmagic_runtime.supervisor.engine_client import ContainerProcess
from tests.signatures import differences

FACETS: dict[type, type] = {
    LocalBuilds: interface.BuildsApi,
    LocalContainers: interface.ContainersApi,
    LocalImages: interface.ImagesApi,
    LocalManifests: interface.ManifestsApi,
    LocalNetworks: interface.NetworksApi,
    LocalSystem: interface.SystemApi,
    LocalVolumes: interface.VolumesApi,
}


def _is_fulfilled(engine: Engine, process: ContainerProcess) -> tuple[EngineApi, ProcessApi]:
    return engine, process  # for mypy


@pytest.mark.parametrize("facet", FACETS, ids=lambda facet: facet.__name__)
def test_a_facet_of_the_engine_fulfils_its_interface(facet: type) -> None:
    assert differences(facet, FACETS[facet], {"ContainerProcess": "ProcessApi"}) == []


@pytest.mark.parametrize("facet", FACETS, ids=lambda facet: facet.__name__)
def test_every_public_method_is_documented_with_its_parameters(facet: type) -> None:
    for name in dir(facet):
        method: Any = getattr(facet, name)
        if name.startswith("_") or not callable(method):
            continue
        text = method.__doc__ or ""
        assert text, name
        for parameter in list(inspect.signature(method).parameters)[1:]:
            assert re.search(rf"[ *]{parameter}: ", text), f"{name}: {parameter}"


def test_a_missing_or_different_method_is_noticed() -> None:
    class Other:
        def outline(self, request: str) -> None: ...
        def failed(self) -> None: ...
        def more(self) -> None: ...

    lines = differences(Other, interface.BuildsApi, {})
    assert [line.split()[0].partition("(")[0] for line in lines] == [
        "explain", "failed", "more", "outline", "prune",
    ]  # fmt: skip


def test_the_public_api_is_complete_and_lazy() -> None:
    names = [name for text in dockmagic_runtime._MODULES.values() for name in text.split()]
    assert sorted(names) == sorted(dockmagic_runtime.__all__)
    for name in names:
        assert getattr(dockmagic_runtime, name).__name__ == name
    assert set(dockmagic_runtime.__all__) <= set(dir(dockmagic_runtime))
    with pytest.raises(AttributeError, match="no attribute 'Engin'"):
        dockmagic_runtime.Engin  # type: ignore[attr-defined]  # noqa: B018

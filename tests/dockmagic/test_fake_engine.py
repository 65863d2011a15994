"""The fake engine offers exactly what an engine offers."""

from __future__ import annotations

import pytest

from dockmagic_runtime.engine import interface
from tests.signatures import differences

from .fake_containers import FakeContainers, FakeProcess
from .fake_engine import FakeBuilds, FakeNetworks, FakeSystem, FakeVolumes
from .fake_images import FakeImages

FACETS: dict[type, type] = {
    FakeBuilds: interface.BuildsApi,
    FakeContainers: interface.ContainersApi,
    FakeImages: interface.ImagesApi,
    FakeNetworks: interface.NetworksApi,
    FakeProcess: interface.ProcessApi,
    FakeSystem: interface.SystemApi,
    FakeVolumes: interface.VolumesApi,
}


@pytest.mark.parametrize("facet", FACETS, ids=lambda facet: facet.__name__)
def test_a_facet_of_the_fake_engine_fulfils_its_interface(facet: type) -> None:
    assert differences(facet, FACETS[facet], {"FakeProcess": "ProcessApi"}) == []

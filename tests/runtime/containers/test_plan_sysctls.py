"""`--sysctl` reaches no namespace but the container's own. The texts are runc 1.1's."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic_runtime.cgroups import CgroupView
from dockmagic_runtime.containers.plan import defaults, sysctls
from dockmagic_runtime.containers.plan.inputs import PlanInputs
from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.model.container import ContainerSpec

HOST_NETWORK = 'sysctl "net.ipv4.ip_default_ttl" not allowed in host network namespace'
HOST_IPC = 'sysctl "{}" is not allowed in the hosts ipc namespace'
SEPARATE = 'sysctl "{}" is not in a separate kernel namespace'
OTHERS = 'sysctl "{}" {} the {} namespace of another container'
TTL = "net.ipv4.ip_default_ttl"


def settings(key: str, joined: tuple[str, ...] = (), **spec: Any) -> dict[str, str]:
    inputs = PlanInputs(
        lowers=(),
        upper="",
        work="",
        rootfs="",
        etc="",
        cgroup_parent="",
        supervisors="",
        cgroup_view=CgroupView(),
        joined=dict.fromkeys(joined, 1),
    )
    return sysctls.settings(ContainerSpec(image="busybox", sysctls={key: "1"}, **spec), inputs)


@pytest.mark.parametrize(
    ("key", "spec", "text"),
    [
        (TTL, {"network": "host"}, HOST_NETWORK),
        ("kernel.shmmax", {"ipc_mode": "host"}, HOST_IPC.format("kernel.shmmax")),
        ("fs.mqueue.msg_max", {"ipc_mode": "host"}, HOST_IPC.format("fs.mqueue.msg_max")),
        ("kernel.domainname", {"uts_mode": "host"}, SEPARATE.format("kernel.domainname")),
        ("kernel.hostname", {"uts_mode": "host"}, SEPARATE.format("kernel.hostname")),
        ("vm.swappiness", {}, SEPARATE.format("vm.swappiness")),
        ("kernel.core_pattern", {}, SEPARATE.format("kernel.core_pattern")),
        ("fs.file-max", {}, SEPARATE.format("fs.file-max")),
        ("net.ipv4/../../vm/swappiness", {}, SEPARATE.format("net.ipv4/../../vm/swappiness")),
        (
            "kernel.hostname",
            {},
            'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field',
        ),
    ],
)
def test_security_2_a_sysctl_of_the_host_is_refused(
    key: str, spec: dict[str, Any], text: str
) -> None:
    with pytest.raises(StartFailed) as raised:
        settings(key, **spec)
    assert (raised.value.message, raised.value.exit_code) == (text, 125)


@pytest.mark.parametrize(
    ("key", "joined", "spec", "text"),
    [
        (TTL, "net", {"network": "container:a"}, OTHERS.format(TTL, "not allowed in", "network")),
        (
            "kernel.sem",
            "ipc",
            {"ipc_mode": "container:a"},
            OTHERS.format("kernel.sem", "is not allowed in", "ipc"),
        ),
    ],
)
def test_security_2_a_sysctl_of_another_container_is_refused(
    key: str, joined: str, spec: dict[str, Any], text: str
) -> None:
    with pytest.raises(StartFailed) as raised:
        settings(key, (joined,), **spec)
    assert (raised.value.message, raised.value.exit_code) == (text, 125)


@pytest.mark.parametrize(
    ("key", "spec"),
    [
        (TTL, {}),
        (TTL, {"network": "none", "ipc_mode": "host", "uts_mode": "host"}),
        ("kernel.shm_rmid_forced", {"network": "host"}),
        ("fs.mqueue.msg_max", {"ipc_mode": "none"}),
        ("kernel.domainname", {}),
    ],
)
def test_a_sysctl_of_a_namespace_of_its_own_is_set(key: str, spec: dict[str, Any]) -> None:
    assert settings(key, **spec)[key] == "1"


def test_dockers_defaults_are_for_a_network_of_its_own() -> None:
    assert settings(TTL) == {**defaults.SYSCTLS, TTL: "1"}
    assert settings("kernel.sem", network="host") == {"kernel.sem": "1"}

"""`inspect`: a container as the JSON of Docker's API, with its zero values."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime.containers.inspect import mounts
from dockmagic_runtime.containers.inspect.host_config import host_config
from dockmagic_runtime.containers.inspect.networks import network_settings
from dockmagic_runtime.containers.lifecycle.exec import exec_ids
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import HealthCheck, Status
from dockmagic_runtime.model.times import rfc3339
from dockmagic_runtime.supervisor.state import State


def inspect(store: ContainerStore, record: Record) -> dict[str, Any]:
    """Docker's `GET /containers/{id}/json`."""
    now = store.state(record.id)
    directory = store.directory(record.id)
    return {
        "Id": record.id,
        "Created": rfc3339(record.created),
        "Path": record.argv[0],
        "Args": list(record.argv[1:]),
        "State": _state(record, now, directory),
        "Image": record.image_id,
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": store.log(record.id),
        "Name": f"/{record.name}",
        "ExecIDs": exec_ids(store, record) if now.pid else None,
        "RestartCount": now.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "HostConfig": {
            **host_config(record.spec),
            "Links": _links(store, record),
        },
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "UpperDir": store.upper(record.id),
                "WorkDir": store.work(record.id),
                "LowerDir": ":".join(
                    f"{store.data_root.layers_path}/{chain.removeprefix('sha256:')}/diff"
                    for chain in record.layers
                ),
            },
        },
        "Mounts": mounts.mounts(store, record),
        "Config": _config(record),
        "NetworkSettings": network_settings(record, now),
    }


def _state(record: Record, now: State, directory: str) -> dict[str, Any]:
    status = Status(now.status)
    checked = {"Health": _health(directory)} if now.health else {}
    return {
        "Status": str(status),
        "Running": status.is_alive,
        "Paused": status is Status.PAUSED,
        "Restarting": status is Status.RESTARTING,
        "OOMKilled": now.oom_killed,
        "Dead": status is Status.DEAD,
        "Pid": now.pid,
        "ExitCode": now.exit_code,
        "Error": now.damage or now.error,
        "StartedAt": rfc3339(now.started),
        "FinishedAt": rfc3339(now.finished),
        **checked,
    }


# what only some containers have is imported for them


def _links(store: ContainerStore, record: Record) -> list[str] | None:
    if not record.links:
        return None
    from dockmagic_runtime.containers.lifecycle import links

    return links.host_config(store, record)


def _health(directory: str) -> dict[str, Any]:
    from dockmagic_runtime.containers.plan.health import inspect_health

    return inspect_health(directory, rfc3339)


def _check(health: HealthCheck) -> dict[str, Any]:
    from dockmagic_runtime.containers.plan.health import inspect_check

    return inspect_check(health)


def _config(record: Record) -> dict[str, Any]:
    spec = record.spec
    return {
        "Hostname": record.hostname,
        "Domainname": spec.domainname,
        "User": record.user,
        "ExposedPorts": {port: {} for port in record.exposed},
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), False),
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": False,
        "Env": list(record.env),
        "Cmd": list(record.command) or None,
        "Image": spec.image,
        "Volumes": {target: {} for target in record.volumes} or None,
        "WorkingDir": record.working_dir,
        "Entrypoint": list(record.entrypoint) or None,
        "OnBuild": None,
        "Labels": record.labels,
        "StopSignal": record.stop_signal,
        "StopTimeout": spec.stop_timeout,
        **({"Healthcheck": _check(record.health)} if record.health else {}),
    }

"""Every flag of `docker run`, given on a line and looked for in the container that runs.

Flags about networks are tried where networks are (`test_networks`, `test_links`, `test_names`).
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from dockmagic import commands
from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]

NETWORKS = frozenset(
    """publish publish-all expose network net network-alias net-alias ip ip6 mac-address link
    link-local-ip""".split()
)


def cgroup(v1: str, v2: str) -> str:
    """Read a container's own control file, whichever version the host has."""
    return f"cat /sys/fs/cgroup/{v2} 2>/dev/null || cat /sys/fs/cgroup/{v1}"


# flags, what the container runs, a pattern for all that it writes
SEEN = [
    ("-e A=1 --env B=2", "echo $A$B", "12\n"),
    ("--env-file {dir}/env", "echo $FROM_FILE", "yes\n"),
    ("-w /some/where", "pwd", "/some/where\n"),
    ("--workdir /tmp", "pwd", "/tmp\n"),
    ("-u 12:34", "id -u; id -g", "12\n34\n"),
    ("--user nobody", "id -un", "nobody\n"),
    ("--group-add 77 --group-add 78", "id -G", r"0 .*\b77\b.*\n"),
    ("-h here", "hostname; cat /etc/hostname", "here\nhere\n"),
    ("--hostname here --domainname example.org",
     "cat /proc/sys/kernel/domainname; tail -1 /etc/hosts",
     "example.org\n.*\there.example.org here\n"),
    ("--entrypoint /bin/echo", "words", "-c words\n"),
    ("--add-host one:10.9.8.7 --add-host two=::1", "cat /etc/hosts", "(?s).*10.9.8.7\tone\n.*"),
    ("--dns 192.0.2.1 --dns-search example.org --dns-option ndots:3 --dns-opt rotate",
     "cat /etc/resolv.conf",
     "(?s).*nameserver 192.0.2.1\n.*search example.org\n.*options ndots:3 rotate\n.*"),
    ("-v {dir}:/here:ro", "cat /here/env; touch /here/x 2>&1", "FROM_FILE=yes\n.*Read-only.*\n"),
    ("--mount type=bind,source={dir},target=/here,readonly", "grep -c ' /here .*ro,' /proc/mounts",
     "1\n"),
    ("--mount type=tmpfs,target=/t,tmpfs-size=1m", "grep -o ' /t tmpfs.*size=1024k' /proc/mounts",
     " /t tmpfs.*\n"),
    ("--tmpfs /t:size=2m,mode=700", "stat -c %a /t; grep -o 'size=2048k' /proc/mounts",
     "700\nsize=2048k\n"),
    ("-v data:/d --volume-driver local", "echo x > /d/x; cat /d/x", "x\n"),
    ("--read-only", "touch /x 2>&1; touch /dev/shm/x && echo shm", ".*Read-only.*\nshm\n"),
    ("--shm-size 3m", "grep -o '/dev/shm .*size=3072k' /proc/mounts", "/dev/shm .*\n"),
    ("-m 64m", cgroup("memory/memory.limit_in_bytes", "memory.max"), "67108864\n"),
    ("--memory 64m --memory-reservation 32m",
     cgroup("memory/memory.soft_limit_in_bytes", "memory.low"), "33554432\n"),
    ("--cpus 0.5", cgroup("cpu/cpu.cfs_quota_us", "cpu.max"), "50000( 100000)?\n"),
    ("--cpu-period 50000 --cpu-quota 20000", cgroup("cpu/cpu.cfs_quota_us", "cpu.max"),
     "20000( 50000)?\n"),
    ("-c 512", cgroup("cpu/cpu.shares", "cpu.weight"), "512\n|59\n"),
    ("--cpuset-cpus 0 --cpuset-mems 0", cgroup("cpuset/cpuset.cpus", "cpuset.cpus"), "0\n"),
    ("--pids-limit 33", cgroup("pids/pids.max", "pids.max"), "33\n"),
    ("--oom-score-adj 321", "cat /proc/self/oom_score_adj", "321\n"),
    ("--ulimit nofile=123:456", "ulimit -Sn; ulimit -Hn", "123\n456\n"),
    ("--cgroup-parent {data_root}-flag", "echo in", "in\n"),
    ("--device /dev/fuse:/dev/mine:r", "(: < /dev/mine) && echo read; (: > /dev/mine) 2>&1",
     "read\n.*not permitted.*\n"),
    ("--device-cgroup-rule 'c 10:229 r'", "mknod /n c 10 229; : < /n && echo opened", "opened\n"),
    ("--cap-add SYS_ADMIN", "hostname other && hostname", "other\n"),
    ("--cap-drop ALL", "chown 1 /etc/passwd 2>&1", ".*not permitted\n"),
    ("--privileged", "grep Seccomp: /proc/self/status; mknod /m c 1 1 && echo m",
     "Seccomp:\t0\nm\n"),
    ("--security-opt no-new-privileges --security-opt seccomp=unconfined",
     "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status", "NoNewPrivs:\t1\nSeccomp:\t0\n"),
    ("--sysctl net.ipv4.ip_default_ttl=44", "cat /proc/sys/net/ipv4/ip_default_ttl", "44\n"),
    ("--pid host", "readlink /proc/self/ns/pid", r"{pid}\n"),
    ("--ipc host", "readlink /proc/self/ns/ipc", r"{ipc}\n"),
    ("--ipc none", "test -e /dev/shm/x || grep -c ' /dev/shm ' /proc/mounts", "0\n"),
    ("--uts host", "readlink /proc/self/ns/uts", r"{uts}\n"),
    ("--cgroupns host", "readlink /proc/self/ns/cgroup", r"{cgroup}\n"),
    ("--userns host", "readlink /proc/self/ns/user", r"{user}\n"),
    ("--init", "ps -o pid,comm | grep -c -E ' 1 (docker-init|tini|catatonit|init)'", "1\n"),
    ("--platform linux --disable-content-trust", "echo same", "same\n"),
    ("--pull never -q", "echo here", "here\n"),
    ("--stop-signal INT --stop-timeout 3 --annotation a=b --no-healthcheck", "echo kept", "kept\n"),
    ("-l a=b --label-file {dir}/env --name named", "echo kept", "kept\n"),
    ("--log-driver none", "echo unlogged", "unlogged\n"),
    ("--log-driver local --log-opt max-size=1m --log-opt max-file=2", "echo logged", "logged\n"),
    ("--restart no", "echo once", "once\n"),
    ("-t", "test -t 1 && echo terminal", "terminal\r\n"),
    ("-a stdout", "echo out; echo err >&2", "out\n"),
    ("--sig-proxy=false --detach-keys ctrl-x,x", "echo through", "through\n"),
    ("--cidfile {dir}/cid", "hostname", r"[0-9a-f]{{12}}\n"),
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "place"
    directory.mkdir()
    (directory / "env").write_text("FROM_FILE=yes\n")
    return directory


@pytest.fixture
def session(engine: Engine) -> Session:
    session = Session()
    session.use(engine)
    return session


def expanded(text: str, engine: Engine, place: Path) -> str:
    names = {kind: re.escape(os.readlink(f"/proc/self/ns/{kind}"))
             for kind in ("pid", "ipc", "uts", "cgroup", "user")}  # fmt: skip
    return text.format(dir=place, data_root=engine.data_root.cgroup_parent, **names)


@pytest.mark.parametrize(("flags", "script", "pattern"), SEEN, ids=[row[0] for row in SEEN])
def test_a_flag_is_seen_in_the_container(
    engine: Engine, session: Session, place: Path, capfd: pytest.CaptureFixture[str],
    flags: str, script: str, pattern: str,
) -> None:  # fmt: skip
    given = shlex.split(expanded(flags, engine, place))
    command = ["-c", script] if "--entrypoint" in flags else ["sh", "-c", script]
    main(["run", "--rm", *given, "busybox", *command], session)
    out, err = capfd.readouterr()
    assert re.fullmatch(expanded(pattern, engine, place), out), (out, err)
    if "--cgroup-parent" in flags:
        engine._components.cgroups.prune(f"{engine.data_root.cgroup_parent}-flag")


# as Docker 28 has them, but those that are there only when they are not empty
HOST_CONFIG = frozenset(
    """AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps
    BlkioDeviceWriteIOps BlkioWeight BlkioWeightDevice CapAdd CapDrop Cgroup CgroupParent
    CgroupnsMode ConsoleSize ContainerIDFile CpuCount CpuPercent CpuPeriod CpuQuota
    CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus CpusetMems DeviceCgroupRules
    DeviceRequests Devices Dns DnsOptions DnsSearch ExtraHosts GroupAdd IOMaximumBandwidth
    IOMaximumIOps IpcMode Isolation Links LogConfig MaskedPaths Memory MemoryReservation MemorySwap
    MemorySwappiness NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode PidsLimit PortBindings
    Privileged PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt
    ShmSize UTSMode Ulimits UsernsMode VolumeDriver VolumesFrom""".split()
)
INSPECTED = [
    ("--name web", "Name", "/web"),
    ("-l a=b", "Config.Labels.a", "b"),
    ("--label-file {dir}/env", "Config.Labels.FROM_FILE", "yes"),
    ("--annotation a=b", "HostConfig.Annotations.a", "b"),
    ("--stop-signal INT", "Config.StopSignal", "INT"),
    ("--stop-timeout 3", "Config.StopTimeout", 3),
    ("--restart on-failure:4", "HostConfig.RestartPolicy",
     {"Name": "on-failure", "MaximumRetryCount": 4}),
    ("--init", "HostConfig.Init", True),
    ("--health-cmd true --health-interval 7s --health-timeout 2s --health-retries 5"
     " --health-start-period 1s --health-start-interval 2s", "Config.Healthcheck",
     {"Test": ["CMD-SHELL", "true"], "Interval": 7 * 10**9, "Timeout": 2 * 10**9, "Retries": 5,
      "StartPeriod": 10**9, "StartInterval": 2 * 10**9}),
    ("--no-healthcheck", "Config.Healthcheck.Test", ["NONE"]),
    ("--log-driver local --log-opt max-size=1m", "HostConfig.LogConfig",
     {"Type": "local", "Config": {"max-size": "1m"}}),
    ("-i", "Config.OpenStdin", True),
    ("-t", "Config.Tty", True),
    ("-m 64m --memory-swap 128m", "HostConfig.MemorySwap", 128 << 20),
    ("-m 64m --memory-swappiness 10", "HostConfig.MemorySwappiness", 10),
    ("--blkio-weight 100", "HostConfig.BlkioWeight", 100),
    ("--oom-kill-disable -m 64m", "HostConfig.OomKillDisable", True),
    ("-m 64m", "HostConfig.MemorySwap", 128 << 20),
    ("--device /dev/fuse:/dev/x:r", "HostConfig.Devices",
     [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]),
    ("--privileged", "HostConfig.MaskedPaths", None),
    ("--sysctl net.ipv4.ip_default_ttl=44", "HostConfig.Sysctls",
     {"net.ipv4.ip_default_ttl": "44"}),
    ("--oom-score-adj 9", "HostConfig.OomScoreAdj", 9),
    ("--volumes-from base:ro", "HostConfig.VolumesFrom", ["base:ro"]),
    ("--cpu-rt-period 0 --cpu-rt-runtime 0", "HostConfig.CpuRealtimePeriod", 0),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "key", "expected"), INSPECTED, ids=[o[0] for o in INSPECTED])
def test_a_flag_is_told_by_inspect(
    engine: Engine, session: Session, place: Path, flags: str, key: str, expected: object
) -> None:
    if "volumes-from" in flags:
        assert main(["create", "--name", "base", "-v", "/data", "busybox"], session) == 0
    given = shlex.split(expanded(flags, engine, place))
    assert main(["create", *given, "busybox", "sh"], session) == 0
    shown: object = engine.containers.inspect(engine.containers.list(all=True)[0].id)
    assert isinstance(shown, dict)
    assert set(shown["HostConfig"]) >= HOST_CONFIG
    for part in key.split("."):
        assert isinstance(shown, dict)
        shown = shown[part]
    assert shown == expected


# real devices, real-time scheduling, effects that show only over time: tested in these files
ELSEWHERE = {
    "detach": "test_containers", "rm": "test_containers", "interactive": "test_containers",
    "volumes-from": "test_volumes", "from-failed": "test_build_real",
    "health-cmd": "test_lifecycle",
    "blkio-weight-device": "test_cgroup_operations", "device-read-bps": "test_cgroup_operations",
    "device-write-bps": "test_cgroup_operations", "device-read-iops": "test_cgroup_operations",
    "device-write-iops": "test_cgroup_operations", "use-api-socket": "test_container_flags",
    "help": "test_help",
}  # fmt: skip


def test_every_flag_of_run_is_tried_here_or_named_with_its_place() -> None:
    parser = commands.parser("run")
    tried = set(ELSEWHERE) | NETWORKS | {flag.name for flag in parser.flags if flag.unsupported}
    for flags in (row[0] for row in (*SEEN, *INSPECTED)):
        for word in shlex.split(flags.replace("{", "").replace("}", "")):
            name = word.lstrip("-").partition("=")[0]
            named = [flag.name for flag in parser.flags if name in (flag.name, flag.short)]
            tried.update(named if word.startswith("-") else ())
    assert {flag.name for flag in parser.flags} == tried

"""Each flag of `docker run`: what it asks for, and what is said of one that is wrong.

The words were compared with those of Docker's client 28.2; where it leaves the check to the daemon,
with the daemon's.
"""

# ruff: noqa: E501  messages are compared whole

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.options.container import container_spec
from dockmagic.commands.options.namespaces import warnings
from dockmagic.commands.options.platform import check_platform, host_platform
from dockmagic_runtime.errors import DockmagicError, InvalidInput, Unsupported
from dockmagic_runtime.model.container import (
    ContainerSpec,
    Device,
    HealthCheck,
    Resources,
    RestartPolicy,
)

# As `docker VERB --help` lists them.
_RUN = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns
cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus
cpuset-cpus cpuset-mems device device-cgroup-rule device-read-bps device-read-iops device-write-bps
device-write-iops disable-content-trust dns dns-option dns-search domainname entrypoint env env-file
expose gpus group-add health-cmd health-interval health-retries health-start-interval
health-start-period health-timeout hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc
isolation kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory
memory-reservation memory-swap memory-swappiness mount name network network-alias no-healthcheck
oom-kill-disable oom-score-adj pid pids-limit platform privileged publish publish-all pull quiet
read-only restart rm runtime security-opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs
tty ulimit use-api-socket user userns uts volume volume-driver volumes-from workdir
"""
DOCKERS = {
    "run": f"{_RUN} detach detach-keys sig-proxy",
    "create": _RUN,
    "exec": "detach detach-keys env env-file interactive privileged tty user workdir",
    "start": "attach checkpoint checkpoint-dir detach-keys interactive",
    "stop": "signal timeout",
    "kill": "signal",
    "rm": "force link volumes",
    "ps": "all filter format last latest no-trunc quiet size",
    "inspect": "format size type",
    "logs": "details follow since tail timestamps until",
    "stats": "all format no-stream no-trunc",
    "images": "all digests filter format no-trunc quiet tree",
    "pull": "all-tags disable-content-trust platform quiet",
    "history": "format human no-trunc platform quiet",
    "rmi": "force no-prune platform",
    "info": "format",
    "version": "format",
}


def spec(*words: str) -> ContainerSpec:
    arguments = commands.parse(["run", *words, "busybox"])
    return container_spec(arguments, auto_remove=arguments.flag("rm"))


@pytest.mark.parametrize("verb", DOCKERS)
def test_every_flag_of_docker_is_known(verb: str) -> None:
    assert {flag.name for flag in commands.parser(verb).flags} >= set(DOCKERS[verb].split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--restart always", {"restart": RestartPolicy(name="always")}),
        ("--restart=", {"restart": RestartPolicy()}),
        ("--restart on-failure:3", {"restart": RestartPolicy(name="on-failure", maximum=3)}),
        ("--restart on-failure:", {"restart": RestartPolicy(name="on-failure")}),
        ("--init", {"init": True}),
        (
            "--health-cmd true --health-interval 1m30s --health-timeout 300ms --health-retries 2",
            {
                "health": HealthCheck(
                    test=("CMD-SHELL", "true"), interval=90, timeout=0.3, retries=2
                )
            },
        ),
        (
            "--health-start-period 1h --health-start-interval 1s",
            {"health": HealthCheck(start_period=3600, start_interval=1)},
        ),
        ("--no-healthcheck", {"health": HealthCheck(test=("NONE",))}),
        (
            "--device /dev/fuse --device /dev/null:/dev/x:r --device /dev/../dev/zero:rw",
            {
                "devices": (
                    Device(source="/dev/fuse", target="/dev/fuse"),
                    Device(source="/dev/null", target="/dev/x", permissions="r"),
                    Device(source="/dev/zero", target="/dev/zero", permissions="rw"),
                )
            },
        ),
        ("--pid host --uts host --userns host", {
            "pid_mode": "host", "uts_mode": "host", "userns_mode": "host",
        }),
        ("--pid container:a --ipc container:a", {
            "pid_mode": "container:a", "ipc_mode": "container:a",
        }),
        ("--ipc shareable --cgroupns host", {"ipc_mode": "shareable", "cgroupns_mode": "host"}),
        ("--cgroupns=", {"cgroupns_mode": "private"}),
        ("--oom-score-adj -500", {"oom_score_adj": -500}),
        (
            "--log-driver local --log-opt max-size=10m --log-opt max-file=3",
            {"log_driver": "local", "log_options": {"max-size": "10m", "max-file": "3"}},
        ),
        ("--log-driver none", {"log_driver": "none"}),
        ("--annotation a=b --annotation c", {"annotations": {"a": "b", "c": ""}}),
        ("--cgroup-parent mine", {"cgroup_parent": "mine"}),
        ("--stop-signal SIGINT --stop-timeout 0", {"stop_signal": "SIGINT", "stop_timeout": 0}),
        ("--security-opt no-new-privileges", {"security_opt": ("no-new-privileges",)}),
        ("--security-opt no-new-privileges:true", {"security_opt": ("no-new-privileges",)}),
        ("--security-opt no-new-privileges=false", {"security_opt": ()}),
        ("--security-opt seccomp:unconfined", {"security_opt": ("seccomp=unconfined",)}),
        ("--security-opt seccomp=builtin --security-opt label=disable", {"security_opt": ()}),
        ("--security-opt systempaths=unconfined", {"security_opt": ("systempaths=unconfined",)}),
        ("--isolation default --disable-content-trust", {}),
        ("--link db --link /cache:c", {"links": (("db", "db"), ("cache", "c"))}),
        ("--dns-opt ndots:1 --dns-option rotate", {"dns_options": ("rotate", "ndots:1")}),
        ("-a stdout -a stderr", {}),
    ],
)  # fmt: skip
def test_what_a_flag_asks_for(words: str, expected: dict[str, Any]) -> None:
    assert spec(*words.split()) == replace(ContainerSpec(image="busybox"), **expected)


def test_a_device_rule_is_one_word_with_blanks() -> None:
    assert spec("--device-cgroup-rule", "c 10:* rwm").device_cgroup_rules == ("c 10:* rwm",)


def test_limits() -> None:
    words = (
        "-m 64m --memory-swap -1 --memory-reservation 32m --memory-swappiness 0 --cpu-rt-period 10 "
        "--cpu-rt-runtime 5 --oom-kill-disable --blkio-weight 10 --cpu-quota 5000 --pids-limit -1 "
        "--blkio-weight-device /dev/sda:20 --device-read-bps /dev/sda:1mb "
        "--device-write-iops /dev//sdb:7"
    )
    assert spec(*words.split()).resources == Resources(
        memory=64 << 20, memory_swap=-1, memory_reservation=32 << 20, memory_swappiness=0,
        cpu_rt_period=10, cpu_rt_runtime=5, oom_kill_disable=True, blkio_weight=10, cpu_quota=5000,
        pids_limit=-1, blkio_weight_devices=(("/dev/sda", 20),),
        throttles=(("read_bps", "/dev/sda", 1 << 20), ("write_iops", "/dev/sdb", 7)),
    )  # fmt: skip


def test_a_seccomp_profile_is_read_here(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text('{\n "defaultAction": "SCMP_ACT_ALLOW" }\n')
    (option,) = spec("--security-opt", f"seccomp={file}").security_opt
    assert json.loads(option.removeprefix("seccomp=")) == {"defaultAction": "SCMP_ACT_ALLOW"}
    file.write_text("{")
    with pytest.raises(InvalidInput, match="compacting json for seccomp profile"):
        spec("--security-opt", f"seccomp={file}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--restart foo", "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"),
        ("--restart always:3", "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
        ("--restart on-failure:x", "invalid restart policy format: maximum retry count must be an integer"),
        ("--restart on-failure:-1", "invalid restart policy: maximum retry count cannot be negative"),
        ("--restart :3", "invalid restart policy format: no policy provided before colon"),
        ("--rm --restart always", "conflicting options: cannot specify both --restart and --rm"),
        ("--no-healthcheck --health-cmd true", "--no-healthcheck conflicts with --health-* options"),
        ("--health-interval -5s", "--health-interval cannot be negative"),
        ("--health-retries -1", "--health-retries cannot be negative"),
        ("--health-interval 1us", "Interval in Healthcheck cannot be less than 1ms"),
        ("--health-interval abc", 'invalid argument "abc" for "--health-interval" flag: time: invalid duration "abc"'),
        ("--health-interval 5", 'invalid argument "5" for "--health-interval" flag: time: missing unit in duration "5"'),
        ("--health-timeout 5x", 'invalid argument "5x" for "--health-timeout" flag: time: unknown unit "x" in duration "5x"'),
        ("--network container:", "invalid network mode: invalid container format container:<name|id>"),
        ("--network container:x -h foo", "conflicting options: hostname and the network mode"),
        ("--network container:x --dns 1.1.1.1", "conflicting options: dns and the network mode"),
        ("--network container:x --add-host a:1.1.1.1", "conflicting options: custom host-to-IP mapping and the network mode"),
        ("--network container:x -P", "conflicting options: port publishing and the container type network mode"),
        ("--network container:x --expose 80", "conflicting options: port exposing and the container type network mode"),
        ("--uts host -h foo", "conflicting options: hostname and the UTS mode"),
        ("--pid foo", "--pid: invalid PID mode"),
        ("--pid container:", "--pid: invalid PID mode"),
        ("--uts foo", "--uts: invalid UTS mode"),
        ("--cgroupns foo", "--cgroupns: invalid CGROUP mode"),
        ("--userns foo", "--userns: invalid USER mode"),
        ("--ipc foo", "invalid IPC mode: foo"),
        ("-m 5m", "Minimum memory limit allowed is 6MB"),
        ("--memory-reservation 64m -m 32m", "Minimum memory limit can not be less than memory reservation limit, see usage"),
        ("--memory-swap 64m", "You should always set the Memory limit when using Memoryswap limit, see usage"),
        ("--memory-swappiness 200", "invalid value: 200. Valid memory swappiness range is 0-100"),
        ("--cpus 1 --cpu-quota 5000", "Conflicting options: Nano CPUs and CPU Quota cannot both be set."),
        ("--cpu-period 5", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
        ("--cpuset-cpus a", "Invalid value a for cpuset cpus: invalid format: a"),
        ("--blkio-weight 5", "Range of blkio weight is from 10 to 1000"),
        ("--blkio-weight 70000", 'invalid argument "70000" for "--blkio-weight" flag: strconv.ParseUint: parsing "70000": value out of range'),
        ("--blkio-weight -1", 'invalid argument "-1" for "--blkio-weight" flag: strconv.ParseUint: parsing "-1": invalid syntax'),
        ("--blkio-weight-device /dev/sda", 'invalid argument "/dev/sda" for "--blkio-weight-device" flag: bad format: /dev/sda'),
        ("--blkio-weight-device sda:100", 'invalid argument "sda:100" for "--blkio-weight-device" flag: bad format for device path: sda:100'),
        ("--blkio-weight-device /dev/sda:5", 'invalid argument "/dev/sda:5" for "--blkio-weight-device" flag: invalid weight for device: /dev/sda:5'),
        ("--device-read-bps /dev/sda:xx", 'invalid argument "/dev/sda:xx" for "--device-read-bps" flag: invalid rate for device: /dev/sda:xx. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb'),
        ("--device-read-iops /dev/sda:-5", 'invalid argument "/dev/sda:-5" for "--device-read-iops" flag: invalid rate for device: /dev/sda:-5. The correct format is <device-path>:<number>. Number must be a positive integer'),
        ("--device-cgroup-rule foo", "invalid argument \"foo\" for \"--device-cgroup-rule\" flag: invalid device cgroup format 'foo'"),
        ("--device foo", "foo is not an absolute path"),
        ("--device /dev/null:/dev/x:rwx", "bad mode specified: rwx"),
        ("--device /dev/null:/a:/b:c", "bad format for path: /dev/null:/a:/b:c"),
        ("--oom-score-adj 5000", "Invalid value 5000, range for oom score adj is [-1000, 1000]"),
        ("--log-driver foo", "logger: no log driver named 'foo' is registered"),
        ("--log-opt foo", "unknown log opt 'foo' for json-file log driver"),
        ("--log-driver none --log-opt max-size=1", "invalid logging opts for driver none"),
        ("--log-opt max-size=xx", "failed to initialize logging driver: invalid size: 'xx'"),
        ("--log-opt compress=true", "failed to initialize logging driver: compress cannot be true when max-file is less than 2 or max-size is not set"),
        ("--log-opt max-file=0", "failed to initialize logging driver: max-file cannot be less than 1"),
        ("--security-opt foo", 'Invalid --security-opt: "foo"'),
        ("--security-opt foo=bar", 'invalid --security-opt 2: "foo=bar"'),
        ("--security-opt no-new-privileges=foo", 'invalid --security-opt 2: "no-new-privileges=foo"'),
        ("--security-opt seccomp=/nope", "opening seccomp profile (/nope) failed: open /nope: no such file or directory"),
        ("--platform foo", 'error parsing specified platform: "foo": unknown operating system or architecture: invalid argument'),
        ("--stop-signal foo", "invalid signal: foo"),
        ("--stop-timeout x", 'invalid argument "x" for "--stop-timeout" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        ("--detach-keys foo", "invalid detach keys (foo) provided"),
        ("--attach foo", 'invalid argument "foo" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'),
        ("--gpus foo", 'invalid argument "foo" for "--gpus" flag: invalid count (foo): value must be either "all" or an integer: invalid syntax'),
        ("--gpus foo=x", "invalid argument \"foo=x\" for \"--gpus\" flag: unexpected key 'foo' in 'foo=x'"),
        ("-m 1x", "invalid argument \"1x\" for \"-m, --memory\" flag: invalid suffix: 'x'"),
        ("--runtime kata", "unknown or invalid runtime name: kata"),
        ("--storage-opt x", "invalid storage option"),
        ("--name a/b", "Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        ("-p 8000-8010:80-89", "invalid ranges specified for container and host Ports: 80-89 and 8000-8010"),
    ],
)  # fmt: skip
def test_dockers_words_for_what_is_wrong(words: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        spec(*words.split())
    assert caught.value.message == message
    assert caught.value.exit_code == 125


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--gpus all", 'could not select device driver "" with capabilities: [[gpu]]'),
        ("--cpu-count 3", "--cpu-count 3: this is for Windows"),
        ("--io-maxiops 3", "this is for Windows"),
        ("--kernel-memory 64m", "--memory counts it too"),
        ("--storage-opt size=1g", "--storage-opt is supported only for overlay over xfs"),
        ("--use-api-socket", "--use-api-socket of 'docker run' is not supported yet"),
        ("--platform linux/sparc64", "the platform linux/sparc64 is not this machine's"),
        ("--log-driver gelf", "the log driver 'gelf' is not supported"),
        ("--security-opt apparmor=mine", "AppArmor profiles are not supported"),
        ("--security-opt label=type:x", "SELinux labels are not supported"),
        ("--disable-content-trust=false", "content trust is not supported"),
        ("--device nvidia.com/gpu=all", "devices of a vendor's driver"),
    ],
)
def test_what_cannot_be_says_so_and_is_never_ignored(words: str, message: str) -> None:
    with pytest.raises(Unsupported) as caught:
        spec(*words.split())
    assert message in caught.value.message


def test_the_platform_may_be_this_machines() -> None:
    system, architecture = host_platform().split("/")
    assert check_platform("") == ""
    for text in (host_platform(), system, architecture, f"{system}/{architecture}".upper()):
        assert check_platform(text) == text


def test_a_volume_driver_is_that_of_the_volumes() -> None:
    mounts = spec("--volume-driver", "nfs", "-v", "data:/data", "-v", "/a:/b").mounts
    assert {mount.target: mount.driver for mount in mounts} == {"/data": "nfs", "/b": "local"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-p 80:80", []),
        ("--network host -p 80:80", [
            "Published ports are discarded when using host network mode",
        ]),
        ("--oom-kill-disable", [
            "OOM killer is disabled for the container, but no memory limit is set, this can result "
            "in the system running out of resources.",
        ]),
        ("--oom-kill-disable -m 64m", []),
        ("--dns 127.0.0.1", [
            "Localhost DNS setting (--dns=127.0.0.1) may fail in containers.",
        ]),
    ],
)  # fmt: skip
def test_dockers_warnings(words: str, expected: list[str]) -> None:
    assert list(warnings(spec(*words.split()))) == expected


def test_nothing_is_pulled_for_a_line_that_is_wrong(engine: Any) -> None:
    for line in ("run -m 5m nope", "run --restart foo nope", "create --gpus all nope"):
        with pytest.raises(DockmagicError):
            list(commands.execute(engine, commands.parse(line.split())))
    assert engine.calls == []

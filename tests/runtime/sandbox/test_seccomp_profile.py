"""The default profile: tried on the running kernel, and held against the one podman ships."""

from __future__ import annotations

import ctypes
import errno
import mmap
import platform
import signal
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.kernel_version import running_kernel
from dockmagic_runtime.linux.seccomp import (
    ALLOW,
    SERVED,
    compile_policy,
    errno_action,
    native_architecture,
)
from dockmagic_runtime.linux.syscall_table import numbers
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.capabilities import DEFAULT
from dockmagic_runtime.sandbox.seccomp import default_program, program_for
from dockmagic_runtime.sandbox.seccomp_json import parse_profile
from dockmagic_runtime.sandbox.seccomp_profile import SOURCE, default_policy
from dockmagic_runtime.testing.bpf import action_of, steps_of
from dockmagic_runtime.testing.child import in_child

NATIVE = native_architecture(platform.machine())
PODMAN_PROFILE = Path("/usr/share/containers/seccomp.json")
EPERM = errno_action(errno.EPERM)
ENOSYS = errno_action(errno.ENOSYS)
SIGCHLD = int(signal.SIGCHLD)
AF_ALG, AF_VSOCK, AF_UNIX = 38, 40, 1


def _install(program: bytes) -> None:
    kernel = Kernel()
    kernel.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
    kernel.seccomp_filter(program)


def _errno_of(number: int, *arguments: int) -> int:
    """Make the call; 0 when it succeeds."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(value) for value in arguments))
    return ctypes.get_errno() if result == -1 else 0


def probe(program: bytes, name: str, *arguments: int) -> int:
    """The errno of a call made under the filter, by a child with our own capabilities."""
    number = numbers(NATIVE)[name]

    def attempt() -> int:
        _install(program)
        return _errno_of(number, *arguments)

    return in_child(attempt)


# ---------------------------------------------------------------------- on the running kernel


@pytest.mark.parametrize(
    "call",
    [
        ("add_key", 0, 0, 0, 0, 0),
        ("bpf", 0, 0, 0),
        ("chroot", 0),
        ("init_module", 0, 0, 0),
        ("kexec_load", 0, 0, 0, 0),
        ("keyctl", 0, 0),
        ("mount", 0, 0, 0, 0, 0),
        ("open_by_handle_at", 0, 0, 0),
        ("perf_event_open", 0, 0, 0, 0, 0),
        ("personality", 0x0004_0000),
        ("pivot_root", 0, 0),
        ("reboot", 0, 0, 0, 0),
        ("request_key", 0, 0, 0, 0),
        ("setns", 0, 0),
        ("socket", AF_ALG, 1, 0),
        ("socket", AF_VSOCK, 1, 0),
        ("swapon", 0, 0),
        ("umount2", 0, 0),
    ],
    ids=lambda call: call[0],
)
def test_a_dangerous_call_is_refused_even_with_capabilities(call: tuple[Any, ...]) -> None:
    program = default_program(DEFAULT - {"CAP_SYS_CHROOT"})
    assert probe(program, *call) == errno.EPERM


@pytest.mark.parametrize(
    "call",
    [
        ("getppid",),
        ("personality", 0xFFFF_FFFF),
        ("sched_yield",),
        ("socket", AF_UNIX, 1, 0),
        ("umask", 0o22),
    ],
    ids=lambda call: call[0],
)
def test_an_everyday_call_is_allowed(call: tuple[Any, ...]) -> None:
    assert probe(default_program(DEFAULT), *call) == 0


# creatable families of linux/socket.h that moby's profile allows
FAMILIES = {
    *range(1, 12), *range(13, 19), 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46),
}  # fmt: skip


def test_security_3_sockets_are_of_the_families_that_mobys_profile_allows() -> None:
    socket = numbers(NATIVE)["socket"]
    program = default_program(DEFAULT)
    allowed = {
        family for family in range(300) if action_of(program, NATIVE, socket, family) == ALLOW
    }
    assert allowed - {0} == FAMILIES
    assert action_of(program, NATIVE, socket, 2**31) == EPERM
    assert "moby/profiles" in SOURCE


@pytest.mark.parametrize("family", [AF_ALG, AF_VSOCK])
def test_security_3_a_socket_family_cannot_hide_behind_bits_that_the_kernel_ignores(
    family: int,
) -> None:
    assert probe(default_program(DEFAULT), "socket", 2**32 + family, 1, 0) == errno.EPERM


def test_row_11_cve_2022_0492_a_cgroup_cannot_be_mounted_from_a_new_user_namespace() -> None:
    program = default_program(DEFAULT)
    new_namespaces = c.CLONE_NEWUSER | c.CLONE_NEWCGROUP | c.CLONE_NEWNS
    assert probe(program, "unshare", new_namespaces) == errno.EPERM
    assert probe(program, "mount", 0, 0, 0, 0, 0) == errno.EPERM


@pytest.mark.parametrize(
    "call",
    [
        ("io_uring_setup", 1, 0),
        ("io_uring_enter", 0, 0, 0, 0, 0),
        ("io_uring_register", 0, 0, 0, 0),
        ("userfaultfd", 0),
        ("unshare", c.CLONE_NEWUSER),
        ("clone", c.CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
    ],
    ids=lambda call: call[0],
)
def test_row_47_a_source_of_kernel_faults_is_refused(call: tuple[Any, ...]) -> None:
    assert probe(default_program(DEFAULT), *call) == errno.EPERM


@pytest.mark.parametrize("flag", [1 << 17, *(1 << bit for bit in range(25, 31))])
def test_row_47_no_kind_of_namespace_can_be_cloned(flag: int) -> None:
    clone = numbers(NATIVE)["clone"]
    assert action_of(default_program(DEFAULT), NATIVE, clone, flag | SIGCHLD) == EPERM
    assert action_of(default_program(DEFAULT), NATIVE, clone, SIGCHLD) == ALLOW


def test_clone3_seems_not_to_exist_so_that_libraries_use_clone() -> None:
    assert probe(default_program(DEFAULT), "clone3", 0, 0) == errno.ENOSYS


def test_a_thread_and_a_process_can_still_be_started() -> None:
    import subprocess
    import threading

    def attempt() -> str:
        _install(default_program(DEFAULT))
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        done = subprocess.run(["sh", "-c", "echo $((6 * 7))"], capture_output=True, check=True)
        return done.stdout.decode()

    assert in_child(attempt) == "42\n"


@pytest.mark.skipif(NATIVE != "x86_64", reason="optional: x32 is of x86-64 alone")
def test_x32_seems_not_to_exist() -> None:
    def attempt() -> int:
        _install(default_program(DEFAULT))
        return _errno_of(0x4000_0000 | numbers("x86_64")["getpid"])

    assert in_child(attempt) == errno.ENOSYS


# mov eax, edi; push rbx; mov ebx, esi; mov ecx, edx; int 0x80; pop rbx; ret
_INT_80 = bytes.fromhex("89f8 53 89f3 89d1 cd80 5b c3")


def _compat_call(number: int, first: int = 0, second: int = 0) -> int:
    """The result of a 32-bit call, made from this 64-bit process by the old gate."""
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as m:
        m.write(_INT_80)
        anchor = ctypes.c_char.from_buffer(m)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_uint, ctypes.c_uint)
        result: int = kind(ctypes.addressof(anchor))(number, first, second)
        del anchor
        return result


@pytest.fixture
def i386() -> dict[str, int]:
    if NATIVE != "x86_64":
        pytest.skip("optional: 32-bit calls are tried on x86-64 alone")
    table = numbers("i386")
    try:
        pid = in_child(lambda: _compat_call(table["getppid"]))
    except AssertionError:
        pytest.skip("optional: this kernel does not run 32-bit programs")
    assert pid > 0
    return table


def test_a_32_bit_call_is_judged_by_its_own_number(i386: dict[str, int]) -> None:
    program = default_program(DEFAULT)

    def attempt() -> list[int]:
        _install(program)
        calls = (
            (i386["getppid"], 0, 0),
            (i386["mount"], 0, 0),
            (i386["unshare"], c.CLONE_NEWUSER, 0),
            (i386["socket"], AF_ALG, 1),
            (i386["clone3"], 0, 0),
        )
        return [_compat_call(*call) for call in calls]

    parent, *refused = in_child(attempt)
    assert parent > 0
    assert refused == [-errno.EPERM, -errno.EPERM, -errno.EPERM, -errno.ENOSYS]


def test_security_3_32_bit_socketcall_does_not_exist_for_its_family_cannot_be_seen(
    i386: dict[str, int],
) -> None:
    def attempt() -> int:
        _install(default_program(DEFAULT))
        return _compat_call(i386["socketcall"], 1, 0)

    assert in_child(attempt) == -errno.ENOSYS


# ---------------------------------------------------------------------- what capabilities open


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("CAP_BPF", "bpf"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        ("CAP_PERFMON", "perf_event_open"),
        ("CAP_SYS_ADMIN", "mount umount2 unshare setns sethostname clone3 fsopen bpf syslog"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
        ("CAP_SYS_NICE", "mbind get_mempolicy set_mempolicy set_mempolicy_home_node"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("CAP_SYS_TIME", "settimeofday clock_settime"),
        ("CAP_SYS_TTY_CONFIG", "vhangup"),
        ("CAP_SYSLOG", "syslog"),
    ],
)
@pytest.mark.parametrize("native", sorted(SERVED))
def test_a_capability_opens_its_calls_and_without_it_they_are_closed(
    native: str, capability: str, names: str
) -> None:
    without = compile_policy(default_policy(DEFAULT - {capability}, native))
    granted = compile_policy(default_policy(DEFAULT | {capability}, native))
    for name in names.split():
        number = numbers(native)[name]
        assert action_of(without, native, number) in (EPERM, ENOSYS), name
        assert action_of(granted, native, number) == ALLOW, name


def test_sys_admin_may_clone_namespaces() -> None:
    program = default_program(DEFAULT | {"CAP_SYS_ADMIN"})
    assert action_of(program, NATIVE, numbers(NATIVE)["clone"], c.CLONE_NEWUSER) == ALLOW


def test_ptrace_is_open_since_it_cannot_step_around_a_filter() -> None:
    ptrace = numbers("x86_64")["ptrace"]
    old = compile_policy(default_policy(DEFAULT, "x86_64", kernel=(4, 7)))
    new = compile_policy(default_policy(DEFAULT, "x86_64", kernel=(4, 8)))
    assert action_of(old, "x86_64", ptrace) == EPERM
    assert action_of(new, "x86_64", ptrace) == ALLOW
    assert running_kernel() >= (4, 8)


# ---------------------------------------------------------------------- held against podman's

# What ours allows and podman's (containers-common 0.50) does not: Docker allows all of it. The
# calls of Linux 5.16 and later came after that package; the other two Docker opened again.
MORE_THAN_PODMAN = frozenset(
    """
    cachestat fchmodat2 futex_requeue futex_wait futex_waitv futex_wake getxattrat listmount
    listxattrat map_shadow_stack mseal removexattrat setxattrat statmount uretprobe
    io_pgetevents io_pgetevents_time64 vmsplice
    """.split()
)
# What ours refuses and podman's does not, as Docker does: namespaces and mounts, which podman
# leaves to the capability check; keys and memory policies, which are not namespaced; obsolete
# calls. `socketcall` alone is our own: see the module.
LESS_THAN_PODMAN = frozenset(
    """
    clone3 fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root
    setns umount umount2 unshare
    get_mempolicy keyctl mbind pidfd_getfd reboot set_mempolicy syslog
    readdir sigaction signal sigpending sigsuspend
    socketcall
    """.split()
)


@pytest.mark.parametrize(
    ("native", "architecture"), [(n, a) for n, served in SERVED.items() for a in served]
)
def test_the_profile_differs_from_podmans_only_where_dockers_does(
    native: str, architecture: str
) -> None:
    if not PODMAN_PROFILE.exists():
        pytest.skip("optional: golang-github-containers-common is not installed")
    ours = compile_policy(default_policy(DEFAULT, native))
    theirs = compile_policy(parse_profile(PODMAN_PROFILE.read_text(), DEFAULT, native))
    allowed = {
        name: tuple(action_of(each, architecture, number) == ALLOW for each in (ours, theirs))
        for name, number in numbers(architecture).items()
    }
    more = {name for name, both in allowed.items() if both == (True, False)}
    less = {name for name, both in allowed.items() if both == (False, True)}
    assert more == MORE_THAN_PODMAN & allowed.keys()
    assert less <= LESS_THAN_PODMAN & allowed.keys()


def test_security_3_podmans_profile_differs_in_the_socket_families_that_moby_has_closed() -> None:
    """Debian's package allows all of them: when it follows moby, this says so."""
    if not PODMAN_PROFILE.exists():
        pytest.skip("optional: golang-github-containers-common is not installed")
    ours = default_program(DEFAULT)
    theirs = compile_policy(parse_profile(PODMAN_PROFILE.read_text(), DEFAULT, NATIVE))
    socket = numbers(NATIVE)["socket"]
    differ = {
        family
        for family in range(64)
        if action_of(ours, NATIVE, socket, family) != action_of(theirs, NATIVE, socket, family)
    }
    assert differ == set(range(64)) - FAMILIES - {0}


def test_every_name_in_the_table_is_a_call_of_some_architecture() -> None:
    known = {name for native in SERVED for served in SERVED[native] for name in numbers(served)}
    named = {
        name
        for native in SERVED
        for rule in default_policy(frozenset({"CAP_SYS_ADMIN"}), native).rules
        for name in rule.names
    }
    assert named - known == {"sync_file_range2"}  # on arm the same call as arm_sync_file_range


# ---------------------------------------------------------------------- programs


def test_a_program_is_compiled_once_for_a_set_of_capabilities() -> None:
    assert default_program(DEFAULT) is default_program(frozenset(sorted(DEFAULT)))
    assert default_program(DEFAULT) != default_program(frozenset())


def test_the_program_is_small_and_quick_to_decide() -> None:
    program = default_program(DEFAULT)
    assert len(program) // 8 < 640
    hot = ("read", "write", "close", "mmap", "futex", "openat", "epoll_pwait", "recvfrom")
    assert max(steps_of(program, NATIVE, numbers(NATIVE)[name]) for name in hot) <= 14


def test_unconfined_is_no_program_at_all() -> None:
    assert program_for("unconfined", DEFAULT) == b""
    assert program_for("default", DEFAULT) == default_program(DEFAULT)


def test_a_profile_given_as_json_is_enforced() -> None:
    text = (
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getppid"],'
        ' "action": "SCMP_ACT_ERRNO", "errnoRet": 18}]}'
    )
    assert probe(program_for(text, DEFAULT), "getppid") == errno.EXDEV

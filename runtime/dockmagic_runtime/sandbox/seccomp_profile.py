"""The default seccomp profile: what Docker's allows, as a table of our own.

`SOURCE` names the version of Docker's that the table follows. A call that is not named here fails
with EPERM; one newer than the table, with ENOSYS. Stricter than Docker's in three places: `socket`
is judged by the 32 bits that the kernel reads, x32 is not served, and 32-bit `socketcall` does not
exist (its address family lies in memory, where no filter can read it; Docker 29.4.2 denied it too,
and covers that hole since then with AppArmor and SELinux rules that we do not load).
Left out on purpose, as in Docker's: io_uring_*, userfaultfd, keyctl, add_key, request_key, and
everything that makes a user namespace.
"""

from __future__ import annotations

import errno
from typing import Final

from dockmagic_runtime.linux.kernel_version import running_kernel
from dockmagic_runtime.linux.seccomp import (
    ALLOW,
    SERVED,
    Comparison,
    Condition,
    Policy,
    Rule,
    errno_action,
)

SOURCE: Final = "moby/profiles seccomp/default_linux.go of 2026, after v0.2.1, at 02e898b137ae"

_REFUSED: Final = errno_action(errno.EPERM)
_MISSING: Final = errno_action(errno.ENOSYS)

_FILES: Final = """
access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3
faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat
fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock
fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listmount listxattr
listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod
mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2
pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat
rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs
statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64
umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
"""
_WAITING: Final = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
epoll_wait_old eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit _newselect pause poll ppoll ppoll_time64 pselect6
pselect6_time64 select signalfd signalfd4
"""
_MEMORY: Final = """
brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall
mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
pkey_mprotect process_mrelease remap_file_pages
"""
_SOCKETS: Final = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair
"""
_IPC: Final = """
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list ipc
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
semtimedop_time64 set_robust_list shmat shmctl shmdt shmget
"""
_TIME: Final = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer
time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times
"""
_PROCESSES: Final = """
capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32
getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getrandom
getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid get_thread_area gettid
getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr
sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
setresuid32 setreuid setreuid32 setrlimit setsid set_thread_area set_tid_address setuid setuid32
sigaltstack sigprocmask sigreturn sysinfo tgkill tkill ugetrlimit uname uretprobe vfork wait4
waitid waitpid
"""
_ALWAYS: Final = _FILES + _WAITING + _MEMORY + _SOCKETS + _IPC + _TIME + _PROCESSES

_BY_ARCHITECTURE: Final = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": """
        arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2
    """,
}
_DEBUGGING: Final = "process_vm_readv process_vm_writev ptrace"
_DEBUGGING_SAFE_SINCE: Final = (4, 8)  # before, ptrace could step around a seccomp filter

_BY_CAPABILITY: Final = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog
        umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": f"kcmp pidfd_getfd process_madvise {_DEBUGGING}",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}

# PER_LINUX, PER_LINUX32, each also with UNAME26, and the query
_PERSONALITIES: Final = (0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)
# The rest of what linux/socket.h defines. AF_ALG (38) opens the kernel's cryptography to attack
# (CVE-2026-31431), AF_VSOCK (40) reaches the hypervisor; DECnet, ECONET, ATMSVC, IRDA, WANPIPE,
# ISDN and CAIF have gone from the kernel.
_REFUSED_FAMILIES: Final = (12, 19, 20, 23, 25, 34, 37, 38, 40)
_FAMILIES: Final = 46  # how many there are
# CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; CLONE_NEWTIME cannot be asked of clone
_NEW_NAMESPACES: Final = 0x7E02_0000


def default_policy(
    capabilities: frozenset[str], architecture: str, *, kernel: tuple[int, int] | None = None
) -> Policy:
    """Docker's default profile for a container with `capabilities` (names with CAP_).

    `architecture` is "x86_64" or "aarch64", `kernel` its version, by default the running one's.
    """
    allowed = [_ALWAYS, _BY_ARCHITECTURE[architecture]]
    allowed += [calls for name, calls in _BY_CAPABILITY.items() if name in capabilities]
    if (kernel or running_kernel()) >= _DEBUGGING_SAFE_SINCE:
        allowed.append(_DEBUGGING)
    rules = [
        *_personality_rules(),
        *_socket_rules(),
        Rule(names=tuple(" ".join(allowed).split()), action=ALLOW),
        Rule(names=("socketcall",), action=_MISSING),
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules += _clone_rules()
    return Policy(default=_REFUSED, rules=tuple(rules), architectures=SERVED[architecture])


def _personality_rules() -> list[Rule]:
    return [
        Rule(
            names=("personality",),
            action=ALLOW,
            conditions=(Condition(index=0, comparison=Comparison.EQ, value=value),),
        )
        for value in _PERSONALITIES
    ]


def _socket_rules() -> list[Rule]:
    """The family is an int to the kernel: comparing all 64 bits would let 2**32 + 38 pass."""
    refused = [
        _for_family(_REFUSED, 0xFFFF_FFFF, family)
        for family in (*_REFUSED_FAMILIES, *range(_FAMILIES, 48))
    ]
    # 48 to 63, then all that is less than 64; the rest is refused by default
    return [
        *refused,
        _for_family(_REFUSED, 0xFFFF_FFF0, 48),
        _for_family(ALLOW, 0xFFFF_FFC0, 0),
    ]


def _for_family(action: int, mask: int, family: int) -> Rule:
    condition = Condition(index=0, comparison=Comparison.MASKED_EQ, mask=mask, value=family)
    return Rule(names=("socket",), action=action, conditions=(condition,))


def _clone_rules() -> list[Rule]:
    """clone3 takes its flags in memory, where no filter can read them: it must seem not to exist,
    so that C libraries use clone instead."""
    no_namespaces = Condition(
        index=0, comparison=Comparison.MASKED_EQ, mask=_NEW_NAMESPACES, value=0
    )
    return [
        Rule(names=("clone",), action=ALLOW, conditions=(no_namespaces,)),
        Rule(names=("clone3",), action=_MISSING),
    ]

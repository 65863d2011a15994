"""Numbers of the Linux UAPI, under the kernel's own names, for x86-64 and arm64.

Sources: include/uapi/linux/{mount,sched,prctl,fcntl,openat2,close_range,capability,keyctl}.h and
the system call tables. The two architectures agree on every call above 424.
"""

from __future__ import annotations

from typing import Final

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWCGROUP: Final = 0x0200_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000
CLONE_PARENT: Final = 0x0000_8000
CLONE_INTO_CGROUP: Final = 0x2_0000_0000  # clone3 alone has room for it

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MNT_DETACH: Final = 2

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
AT_SYMLINK_NOFOLLOW: Final = 0x100

FSOPEN_CLOEXEC: Final = 1
FSMOUNT_CLOEXEC: Final = 1
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOUNT_ATTR_RELATIME: Final = 0x0
MOUNT_ATTR_NOATIME: Final = 0x10
MOUNT_ATTR_STRICTATIME: Final = 0x20
MOUNT_ATTR__ATIME: Final = 0x70
MOUNT_ATTR_NODIRATIME: Final = 0x80
MOUNT_ATTR_IDMAP: Final = 0x0010_0000
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = 0o2000000

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_CAPBSET_DROP: Final = 24
PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

KEYCTL_JOIN_SESSION_KEYRING: Final = 1
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_LOG: Final = 2

BPF_PROG_LOAD: Final = 5
BPF_PROG_ATTACH: Final = 8
BPF_PROG_TYPE_CGROUP_DEVICE: Final = 15
BPF_CGROUP_DEVICE: Final = 6
BPF_F_ALLOW_MULTI: Final = 2

PROC_SUPER_MAGIC: Final = 0x9FA0
DEVPTS_SUPER_MAGIC: Final = 0x1CD1
SYSFS_MAGIC: Final = 0x6265_6572
CGROUP_SUPER_MAGIC: Final = 0x27E0EB
CGROUP2_SUPER_MAGIC: Final = 0x6367_7270
OVERLAYFS_SUPER_MAGIC: Final = 0x794C_7630
TMPFS_MAGIC: Final = 0x0102_1994
MQUEUE_MAGIC: Final = 0x1980_0202

# number on x86-64, number on arm64
SYSCALLS: Final[dict[str, tuple[int, int]]] = {
    "clone": (56, 220),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "prctl": (157, 167),
    "capget": (125, 90),
    "capset": (126, 91),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "setns": (308, 268),
    "seccomp": (317, 277),
    "bpf": (321, 280),
    "clone3": (435, 435),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "close_range": (436, 436),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
}

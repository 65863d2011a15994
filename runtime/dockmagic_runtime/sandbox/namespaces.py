"""Operations of the child that separate it from the host, and meet the start process meanwhile."""

from __future__ import annotations

import errno
import os
import socket
from typing import ClassVar, Final

from dockmagic_runtime.errors import EngineBug, StartFailed, Unsupported
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation

NAMES: Final = {
    "mnt": c.CLONE_NEWNS,
    "uts": c.CLONE_NEWUTS,
    "ipc": c.CLONE_NEWIPC,
    "net": c.CLONE_NEWNET,
    "cgroup": c.CLONE_NEWCGROUP,
}


@operation
class Unshare(UndoneByKernel, frozen=True):
    """New namespaces for the child itself. `pid` is not among them: the fork made that one."""

    calls: ClassVar[tuple[str, ...]] = ("unshare",)

    namespaces: tuple[str, ...]

    def describe(self) -> str:
        return f"unshare the {', '.join(self.namespaces)} namespaces"

    def execute(self, context: Context) -> None:
        try:
            context.linux.unshare(sum(NAMES[name] for name in self.namespaces))
        except OSError as error:
            self._explain(context, error)
            raise

    def _explain(self, context: Context, error: OSError) -> None:
        """Raises Unsupported if only the network namespace is refused."""
        others = [NAMES[name] for name in self.namespaces if name != "net"]
        if "net" not in self.namespaces:
            return
        try:
            context.linux.unshare(sum(others))
        except OSError:
            return
        raise Unsupported(
            f"this host gives no network namespace ({error.strerror})",
            hint="run with --network host; or see user.max_net_namespaces and CONFIG_NET_NS",
        ) from error


@operation
class JoinNamespace(UndoneByKernel, frozen=True):
    """Enter a namespace of another container (`--network container:NAME`) or of the host."""

    calls: ClassVar[tuple[str, ...]] = ("setns",)

    name: str
    pid: int

    def describe(self) -> str:
        return f"join the {self.name} namespace of process {self.pid}"

    def execute(self, context: Context) -> None:
        fd = os.open(f"/proc/{self.pid}/ns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            context.linux.setns(fd, NAMES[self.name])
        finally:
            os.close(fd)


def sync_socket(context: Context) -> socket.socket:
    if context.sync is None:
        raise EngineBug("this operation runs only in the child of a start process")
    return context.sync


@operation
class HandOverNetwork(UndoneByKernel, frozen=True):
    """Send the start process the new network namespace and a netlink socket made inside it.

    The start process connects the network while this child goes on mounting: on two processors
    the two run at the same time.
    """

    calls: ClassVar[tuple[str, ...]] = ("socket AF_NETLINK", "sendmsg SCM_RIGHTS")

    def describe(self) -> str:
        return "hand the network namespace to the start process, which connects it meanwhile"

    def execute(self, context: Context) -> None:
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            socket.send_fds(sync_socket(context), [b"N"], [namespace, netlink.fileno()])
        finally:
            os.close(namespace)
            netlink.close()


@operation
class AwaitNetwork(UndoneByKernel, frozen=True):
    calls: ClassVar[tuple[str, ...]] = ("recv",)

    def describe(self) -> str:
        return "wait until the network is connected"

    def execute(self, context: Context) -> None:
        if sync_socket(context).recv(1) != b"G":
            raise InterruptedError("the start process gave up before the network was ready")


@operation
class SetHostname(UndoneByKernel, frozen=True):
    calls: ClassVar[tuple[str, ...]] = ("sethostname",)

    hostname: str
    domainname: str = ""

    def describe(self) -> str:
        return f"set the host name to {self.hostname}"

    def execute(self, context: Context) -> None:
        context.linux.sethostname(self.hostname)
        if self.domainname:
            context.linux.setdomainname(self.domainname)


@operation
class WriteSysctls(UndoneByKernel, frozen=True):
    """`--sysctl`, into the container's own /proc/sys by a path resolved in its root."""

    calls: ClassVar[tuple[str, ...]] = ("fsopen proc", "write /proc/sys/…")

    values: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        return "set " + " ".join(f"{key}={value}" for key, value in self.values)

    def execute(self, context: Context) -> None:
        linux = context.linux
        fs = linux.fsopen("proc")  # private: no path of the container leads to it
        try:
            linux.fsconfig_create(fs)
            proc = linux.fsmount(fs, 0)
        finally:
            linux.close(fs)
        try:
            for key, value in self.values:
                _write_sysctl(linux, proc, key.replace(".", "/"), value)
        finally:
            linux.close(proc)


def _write_sysctl(linux: Linux, proc: int, name: str, value: str) -> None:
    """Raises StartFailed in runc's words, with the exit code that Docker makes of them."""
    try:
        linux.write_file(f"sys/{name}", value.encode(), dir_fd=proc)
    except OSError as error:
        is_missing = error.errno == errno.ENOENT
        reason = os.strerror(error.errno or 0).lower()
        raise StartFailed(
            f"{'open' if is_missing else 'write'} /proc/sys/{name}: {reason}",
            exit_code=127 if is_missing else 126 if error.errno == errno.EACCES else 125,
        ) from error


@operation
class FreshKeyring(UndoneByKernel, frozen=True):
    calls: ClassVar[tuple[str, ...]] = ("keyctl KEYCTL_JOIN_SESSION_KEYRING",)

    def describe(self) -> str:
        return "start with an empty session keyring"

    def execute(self, context: Context) -> None:
        context.linux.join_session_keyring("_ses")

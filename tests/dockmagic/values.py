"""Made-up images, explanations, topologies and traces, with everything in them that is shown."""

from __future__ import annotations

from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.container import PathStat
from dockmagic_runtime.model.explanation import ExplainedStep, Explanation
from dockmagic_runtime.model.image import Image, ImageConfig
from dockmagic_runtime.model.topology import Bridge, Hop, Interface, Node, Route, Topology, Trace

NOW = 1_700_000_000.0


def make_image(tag: str, digit: str, *, labels: dict[str, str] | None = None) -> Image:
    return Image(
        id=f"sha256:{digit * 64}",
        tags=(tag,),
        created=NOW,
        size=12_345_678,
        config=ImageConfig(cmd=("httpd-foreground",), labels=labels or {}),
        architecture="amd64",
        os="linux",
        diff_ids=("sha256:" + "1" * 64,),
        chain_ids=("sha256:" + "1" * 64,),
    )


def make_explanation(id: str, name: str) -> Explanation:
    steps = [
        ("start process", "CreateCgroup", f"create the control group area/{id}", 0.0, 0.001),
        ("child", "MountFilesystem", "mount proc on /proc", 0.002, 0.0005),
        ("network", "CreateVeth", "create veth pair vethab ⇄ eth0", 0.0021, 0.002),
        ("child", "MountFilesystem", "mount <b>sysfs</b> on /sys", 0.0025, 0.0005),
        ("child", "PivotRoot", "make the overlay the root directory", 0.005, 0.0001),
    ]
    return Explanation(
        container_id=id,
        name=name,
        steps=tuple(
            ExplainedStep(
                who=who,
                name=step,
                text=text,
                calls=("one", "two"),
                undoing="rmdir" if step == "CreateCgroup" else "the kernel",
                began=began,
                seconds=seconds,
            )
            for who, step, text, began, seconds in steps
        ),
        command=("httpd", "-D", "a b"),
        seconds=0.0051,
    )


def make_topology() -> Topology:
    """A web server on two networks, its database, and one that has the host's network."""
    bridges = tuple(
        Bridge(id=name, name=name, bridge=f"dm{name}", subnet=f"172.{number}.0.0/16",
               gateway=f"172.{number}.0.1", internal=name == "back")
        for number, name in ((18, "back"), (17, "bridge"), (19, "front"))
    )  # fmt: skip
    front = Interface(
        network="front", name="eth0", veth="veth1a2b3c4", address="172.19.0.2",
        names=("web", "www"), is_way_in=True,
    )  # fmt: skip
    back = Interface(
        network="back", name="eth1", veth="veth2b3c4d5", address="172.18.0.2", names=("web",)
    )
    stored = Interface(
        network="back", name="eth0", veth="veth3c4d5e6", address="172.18.0.3", names=("db",)
    )
    ports = (("0.0.0.0", 9999, 80, "tcp"), ("::", 9999, 80, "tcp"), ("127.0.0.1", 9443, 443, "tcp"))
    return Topology(
        hostname="machine",
        uplinks=(("eth0", "192.0.2.1/24"),),
        bridges=bridges,
        nodes=(
            Node(id="b" * 64, name="db", mode="", interfaces=(stored,)),
            Node(id="d" * 64, name="eye", mode="host"),
            Node(id="a" * 64, name="web", mode="", interfaces=(front, back), published=ports),
        ),
    )


def make_trace(target: str) -> Trace:
    """By the proxy and by a rule for localhost, else by a rule alone; no process listens on
    odd ports."""
    rule = Hop(kind="rule", what="nftables: published, from this host", before=3, after=4,
               detail="192.0.2.1:9999 becomes 172.19.0.2:80",
               rule="table ip dockmagic, chain publish_here\n"
               "map published: tcp . 9999 : 172.19.0.2 . 80")  # fmt: skip
    proxy = Hop(kind="proxy", what="web's port proxy holds the port, and passes on",
                detail="a second connection, to 172.19.0.2:80")  # fmt: skip
    answer = Hop(kind="answer", what="the answer goes back under the address that was asked",
                 detail="connection tracking: 172.19.0.2:80 becomes 192.0.2.1:9999")  # fmt: skip
    failure = "no program takes the connection there" if target.endswith("1") else ""
    here = make_route(target, "127.0.0.1", "proxy", failure, proxy)
    name = "this host's own address" if target.startswith("localhost") else target
    own = make_route(name, "192.0.2.1", "translated", failure, rule, answer)
    is_here = target.startswith("localhost")
    return Trace(
        target=target,
        port=9999,
        protocol="tcp",
        container="web",
        routes=(here, own) if is_here else (own,),
        remark="loopback is never translated" if is_here else "",
    )


def make_route(name: str, address: str, way: str, failure: str, first: Hop, *last: Hop) -> Route:
    hops = (
        Hop(kind="client", what=f"a program on this host connects to {name}",
            detail=f"{address}:9999"),
        first,
        Hop(kind="bridge", what="the bridge of network front", detail="dmfront, to 172.19.0.2:80"),
        Hop(kind="veth", what="the veth pair's end in the bridge", detail="veth1a2b3c4",
            before=100, after=250),
        Hop(kind="process", what="httpd listens on port 80"),
        *last,
    )  # fmt: skip
    return Route(name=name, address=address, way=way, hops=hops, failure=failure)


DIRECTORIES = {
    "/": {"bin": 0o40755, "etc": 0o40755, "srv": 0o40755, "usr": 0o40755, "run.sh": 0o100755},
    "/bin": {"ls": 0o120777, "ln": 0o100755, "sh": 0o100755, "notes": 0o100644},
    "/usr": {"local": 0o40755, "bin": 0o40755},
    "/usr/bin": {"less": 0o100755},
    "/etc": {"my file": 0o100644, "motd": 0o100644},
}


def make_directory(path: str) -> tuple[PathStat, ...]:
    """The entries of a directory of the fakes."""
    entries = DIRECTORIES.get(path.rstrip("/") or "/")
    if entries is None:
        raise NotFound(f"Could not find the file {path}")
    return tuple(
        PathStat(name=name, size=1, mode=mode, mtime=0.0) for name, mode in sorted(entries.items())
    )

"""`-v`, `--mount` and `--tmpfs` as Docker's client and engine read them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic import commands
from dockmagic.commands.options.container import container_spec
from dockmagic.commands.options.mounts import parse_mount, parse_volume
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Mount
from dockmagic_runtime.options.volumes import check_unique, parse_tmpfs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", Mount(kind="volume", target="/data")),
        ("v1:/data", Mount(kind="volume", source="v1", target="/data")),
        (
            "v1:/data/:ro,nocopy",
            Mount(
                kind="volume",
                source="v1",
                target="/data",
                read_only=True,
                copy_up=False,
                options=("ro", "nocopy"),
            ),
        ),
        (
            "/a:/b:z,rslave",
            Mount(
                kind="bind",
                source="/a",
                target="/b",
                create_source=True,
                propagation="rslave",
                options=("z", "rslave"),
            ),
        ),
        (
            "./x:/b:rw",
            Mount(
                kind="bind",
                source=f"{os.getcwd()}/x",
                target="/b",
                create_source=True,
                options=("rw",),
            ),
        ),
    ],
)
def test_volumes(text: str, expected: Mount) -> None:
    assert parse_volume(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid empty volume spec"),
        (":/b", "invalid spec: :/b: empty section between colons"),
        ("/a:/b:ro:x", "invalid spec: /a:/b:ro:x: too many colons"),
        ("/a:rw", "invalid volume specification: '/a:rw'"),
        ("/a:/b:nope", "invalid mode: nope"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:z,Z", "invalid mode: z,Z"),
        ("/a:/b:ro,", "invalid mode: ro,"),
        (
            "v1:/b:rshared",
            'mount config for type "volume": field BindOptions must not be specified',
        ),
        ("/a:/b:nocopy", 'mount config for type "bind": field VolumeOptions must not be specified'),
        ("v1:/", "invalid specification: destination can't be '/'"),
        ("v1:b", "invalid mount path: 'b' mount path must be absolute"),
        ("a/b:/c", '"a/b" includes invalid characters for a local volume name'),
    ],
)
def test_volumes_that_are_none(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_volume(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/t", Mount(kind="volume", target="/t")),
        (
            "type=volume,src=v1,dst=/t,volume-subpath=a/b,volume-nocopy,readonly",
            Mount(
                kind="volume",
                source="v1",
                target="/t",
                subpath="a/b",
                copy_up=False,
                read_only=True,
            ),
        ),
        (
            'src=nfs,dst=/t,volume-driver=local,volume-label=a=b,volume-opt=type=nfs,"volume-opt='
            'o=addr=10.0.0.1,vers=4",volume-opt=device=:/x',
            Mount(
                kind="volume",
                source="nfs",
                target="/t",
                labels=(("a", "b"),),
                driver_options=(("type", "nfs"), ("o", "addr=10.0.0.1,vers=4"), ("device", ":/x")),
            ),
        ),
        (
            "type=bind,source=/a,target=/t,bind-propagation=RSLAVE,bind-recursive=disabled",
            Mount(kind="bind", source="/a", target="/t", propagation="rslave", recursive=False),
        ),
        (
            "type=bind,source=/a,target=/t,ro=1,bind-recursive=writable",
            Mount(kind="bind", source="/a", target="/t", read_only=True, submounts_read_only=False),
        ),
        (
            "type=bind,src=/a,dst=/t,bind-nonrecursive,bind-create-src",
            Mount(kind="bind", source="/a", target="/t", recursive=False, create_source=True),
        ),
        (
            "type=image,source=httpd,target=/t,image-subpath=usr",
            Mount(kind="image", source="httpd", target="/t", subpath="usr", read_only=True),
        ),
        (
            "type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770",
            Mount(kind="tmpfs", target="/t", options=("mode=1770", f"size={64 << 20}")),
        ),
    ],
)
def test_mounts(text: str, expected: Mount) -> None:
    assert parse_mount(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=volume", "target is required"),
        ("dst", "invalid field 'dst' must be a key=value pair"),
        ("nope=1,dst=/t", "unexpected key 'nope' in 'nope=1'"),
        ("type=bind,src=/a,dst=/t,volume-nocopy", "cannot mix 'volume-*' options with mount type"),
        ("dst=/t,image-subpath=x", "cannot mix 'image-*' options with mount type 'volume'"),
        ("dst=/t,readonly=maybe", "invalid value for readonly: maybe"),
        ("type=tmpfs,dst=/t,tmpfs-mode=rwx", "invalid value for tmpfs-mode: rwx"),
        ("type=tmpfs,dst=/t,tmpfs-size=big", "invalid value for tmpfs-size: big"),
        (
            "type=bind,src=/a,dst=/t,bind-recursive=writable",
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
        ),
        (
            "type=bind,src=/a,dst=/t,ro,bind-recursive=readonly,bind-propagation=rslave",
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate'",
        ),
        ("type=bind,src=/a,dst=/t,bind-recursive=x", "invalid value for bind-recursive: x"),
        ('dst=/t,"src=', "parse error on line 1"),
        ("", "EOF"),
        ('dst="/t', 'parse error on line 1, column 5: bare " in non-quoted-field'),
    ],
)
def test_mounts_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as raised:
        parse_mount(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bind,dst=/t", 'type "bind": field Source must not be empty'),
        ("type=bind,src=a,dst=/t", "type \"bind\": invalid mount path: 'a' mount path must be"),
        ("type=bind,src=/a,dst=/t,bind-propagation=x", 'type "bind": invalid propagation mode: x'),
        ("type=tmpfs,src=/a,dst=/t", 'type "tmpfs": field Source must not be specified'),
        ("type=image,dst=/t", 'type "image": field Source must not be empty'),
        ("type=npipe,dst=/t", 'type "npipe": mount type unknown'),
    ],
)
def test_what_dockers_daemon_refuses_of_a_mount(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_mount(text)
    assert raised.value.message.startswith(f"invalid mount config for {message}")


def test_memory() -> None:
    expected = Mount(kind="tmpfs", target="/run", options=("rw", "size=64m", "uid=3"))
    assert parse_tmpfs("/run:rw,size=64m,uid=3") == expected
    for text in ("/run:nope", "/run:size", "/run:ro=1", "/run:bind"):
        with pytest.raises(InvalidInput, match="invalid tmpfs option"):
            parse_tmpfs(text)


def test_one_place_takes_one_mount_but_an_anonymous_volume_gives_way() -> None:
    check_unique([Mount(kind="volume", target="/a"), Mount(kind="tmpfs", target="/a")])
    with pytest.raises(InvalidInput, match="Duplicate mount point: /a"):
        check_unique([Mount(kind="bind", source="/x", target="/a"), parse_tmpfs("/a")])


WORDS = st.lists(
    st.sampled_from(
        ["type=bind", "type=tmpfs", "type=image", "src=/a", "src=v1", "dst=/t", "dst=t", "ro", "=",
         "volume-nocopy", "volume-opt=a=b", "bind-recursive=readonly", "tmpfs-size=-1", '"', "\n",
         "image-subpath=..", "\x00", "readonly=", ",", "tmpfs-mode=9", "consistency=x"]
    )
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_whatever_is_written_is_a_mount_or_an_error_of_ours(words: list[str]) -> None:
    try:
        assert parse_mount(",".join(words)).target.startswith("/")
    except (ValueError, InvalidInput):
        pass


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="av/:.~,zro\x00", max_size=20))
def test_whatever_volume_is_written_has_a_clean_target_or_is_refused(text: str) -> None:
    try:
        mount = parse_volume(text)
    except InvalidInput:
        return
    assert mount.target == os.path.normpath(mount.target) != "/"


def test_command_line_6_the_same_volume_twice_is_one() -> None:
    words = "run -v /tmp:/x -v /tmp:/x --tmpfs /t --tmpfs /t busybox".split()
    spec = container_spec(commands.parse(words))
    assert [mount.target for mount in spec.mounts] == ["/x", "/t"]
    with pytest.raises(InvalidInput, match="Duplicate mount point"):
        container_spec(commands.parse("run -v /tmp:/x -v /var:/x busybox".split()))

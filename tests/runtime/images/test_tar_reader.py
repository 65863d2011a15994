"""Tar headers of all dialects, and what is wrong with the ones of strangers."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.compression import decompressed
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.tar import pax
from dockmagic_runtime.images.tar.entry import ByteStream, TarEntry
from dockmagic_runtime.images.tar.reader import ArchiveReader
from dockmagic_runtime.testing.trees import make_member, make_tar


def read(data: bytes, limits: Limits | None = None) -> list[TarEntry]:
    limits = limits or Limits()
    stream = ByteStream(decompressed(io.BytesIO(data)), limits.size)
    return list(ArchiveReader(stream, limits))


def header(**fields: bytes) -> bytes:
    """A ustar header of one empty file, with some fields replaced and a right checksum."""
    values = {
        "name": b"f",
        "mode": b"0000644\0",
        "uid": b"0000000\0",
        "gid": b"0000000\0",
        "size": b"00000000000\0",
        "mtime": b"00000000000\0",
        "kind": b"0",
        "link": b"",
        "magic": b"ustar\x0000",
        "prefix": b"",
        **fields,
    }
    block = struct.pack(
        "100s8s8s8s12s12s8sc100s8s64s16s155s12x",
        *[values[key] for key in ("name", "mode", "uid", "gid", "size", "mtime")],
        b" " * 8,
        *[values[key] for key in ("kind", "link", "magic")],
        b"",
        b"",
        values["prefix"],
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_formats_are_read_alike(format: int) -> None:
    long = "" if format == tarfile.USTAR_FORMAT else "x" * 120 + "/"
    tar = make_tar(
        make_member(f"{long}d", tarfile.DIRTYPE, mode=0o1755, uid=7, gid=8, mtime=9),
        (make_member(f"{long}d/f", mode=0o4711, uid=1000), b"abc"),
        make_member("l", tarfile.SYMTYPE, linkname=f"{long}t"),
        make_member("n", tarfile.CHRTYPE, devmajor=4, devminor=64),
        format=format,
    )
    entries = read(tar.getvalue())
    assert [e.name.rstrip("/") for e in entries] == [f"{long}d", f"{long}d/f", "l", "n"]
    assert (entries[0].mode, entries[0].uid, entries[0].gid) == (0o1755, 7, 8)
    assert entries[0].mtime_ns == 9_000_000_000
    assert (entries[1].size, entries[1].mode, entries[1].uid) == (3, 0o4711, 1000)
    assert entries[2].link == f"{long}t"
    assert entries[3].device == os.makedev(4, 64)


def test_ustar_prefixes_are_read_and_gnus_other_use_of_the_field_is_not() -> None:
    data = header(prefix=b"some/where") + header(prefix=b"12345", magic=b"ustar  \0")
    assert [e.name for e in read(data)] == ["some/where/f", "f"]


def test_pax_overrides_size_owner_and_time_with_fractions() -> None:
    member = make_member("x")
    member.pax_headers = {"mtime": "1.25", "uid": "4000000000", "SCHILY.xattr.user.a": "b"}
    (entry,) = read(make_tar((member, b"data")).getvalue())
    assert (entry.mtime_ns, entry.uid, entry.size) == (1_250_000_000, 4_000_000_000, 4)
    assert entry.xattrs == {"user.a": b"b"}
    member.pax_headers = {"mtime": "-1.5"}
    (entry,) = read(make_tar(member).getvalue())
    assert entry.mtime_ns == -1_500_000_000


def test_global_headers_hold_until_overridden() -> None:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"gname": "g", "uid": "7"}
    ) as tar:
        tar.addfile(make_member("a"))
        own = make_member("b")
        own.pax_headers = {"uid": "8"}
        tar.addfile(own)
    assert [e.uid for e in read(out.getvalue())] == [7, 8]


def test_base_256_numbers_are_read() -> None:
    big = (5 << 33).to_bytes(12, "big")
    past = (-7).to_bytes(12, "big", signed=True)
    (entry,) = read(header(mtime=past, uid=b"\x80" + (3_000_000).to_bytes(7, "big")))
    assert (entry.mtime_ns, entry.uid) == (-7_000_000_000, 3_000_000)
    with pytest.raises(InvalidInput, match=r"unpacks to more|middle of a member"):
        read(header(size=b"\x80" + big[1:]))


@pytest.mark.parametrize("field", ["size", "mode", "uid", "gid"])
def test_cve_2025_8194_negative_numbers_are_refused(field: str) -> None:
    width = 12 if field == "size" else 8
    for value in ((-512).to_bytes(width, "big", signed=True), b"-1".ljust(width, b"\0")):
        with pytest.raises(InvalidInput, match="damaged"):
            read(header(**{field: value}))


def test_cve_2025_8194_negative_pax_sizes_are_refused() -> None:
    record = pax.record("size", b"-1024")
    data = header(kind=b"x", size=b"%011o\0" % len(record)) + record.ljust(512, b"\0")
    with pytest.raises(InvalidInput, match="no number"):
        read(data + header())


def test_members_of_old_tar_end_in_a_slash_when_they_are_directories() -> None:
    data = header(name=b"d/", kind=b"\0", magic=b"") + header(kind=b"\0", magic=b"")
    assert [e.kind for e in read(data)] == [b"5", b"0"]


def test_a_hard_link_with_a_size_has_no_data() -> None:
    data = header(kind=b"1", link=b"t", size=b"00000001000\0") + header()
    assert [(e.kind, e.size) for e in read(data)] == [(b"1", 0), (b"0", 0)]


@pytest.mark.parametrize("kind", [b"V", b"M", b"D", b"8", b"?"])
def test_unknown_kinds_are_refused(kind: bytes) -> None:
    with pytest.raises(InvalidInput, match="unknown kind"):
        read(header(kind=kind))


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 512,
        header()[:300],
        header(size=b"00000001000\0") + bytes(100),
        header(name=b"g").replace(b"g", b"h"),
        header(size=b"0000000009x\0"),
    ],
)
def test_damaged_archives_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="archive"):
        read(data)


def test_an_archive_may_end_without_a_trailer_and_go_on_after_it() -> None:
    assert len(read(header())) == 1
    assert len(read(header() + bytes(1024) + header())) == 1
    assert read(b"") == []


def test_the_last_members_padding_may_be_missing() -> None:
    data = header(size=b"00000000003\0") + b"abc"
    assert [entry.size for entry in read(data)] == [3]
    with pytest.raises(InvalidInput, match="middle of a member"):
        read(data[:-1])


def test_the_digest_covers_what_comes_after_the_trailer() -> None:
    data = header() + bytes(1024) + b"more"
    stream = ByteStream(decompressed(io.BytesIO(data)), 1 << 20)
    list(ArchiveReader(stream, Limits()))
    import hashlib

    assert stream.drain() == f"sha256:{hashlib.sha256(data).hexdigest()}"


# --- extended headers -------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=12).filter(lambda k: "=" not in k), st.binary(max_size=1100))
@example("k" * 92, b"")  # the length grows a digit by its own digits
@example("k", b"v" * 94)
def test_a_record_that_is_written_is_read(key: str, value: bytes) -> None:
    try:
        os.fsencode(key)
    except UnicodeEncodeError:
        return
    data = pax.record(key, value)
    assert int(data.split(b" ")[0]) == len(data)
    assert pax.records(data + data) == {key: value}


@pytest.mark.parametrize(
    "data",
    [
        b"5 a=b",
        b"6 a=b\n7",
        b"999999 a=b\n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b" a=b\n",
        b"6 ab\n\n",
        b"5 =b\n",
        b"3 \n",
        b"99999999999999999999999 a=b\n",
    ],
)
def test_malformed_records_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="malformed extended header"):
        pax.records(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_records_or_refused(data: bytes) -> None:
    try:
        pax.records(data)
    except InvalidInput:
        pass


def test_owners_that_chown_would_ignore_are_refused() -> None:
    member = make_member("x")
    member.pax_headers = {"uid": str(2**32 - 1)}
    with pytest.raises(InvalidInput, match="owner"):
        read(make_tar(member).getvalue())


# --- sparse files -----------------------------------------------------------------------------


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """Holes everywhere, and more segments than a header has room for."""
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        for number in range(40):
            stream.seek((2 * number + 1) * 65536)
            stream.write(b"%04d" % number * 1024)
        stream.truncate(90 * 65536 + 123)
    return path


@pytest.mark.root
@pytest.mark.parametrize("options", [["gnu"], ["posix", "0.1"], ["posix", "1.0"]])
def test_sparse_files_of_gnu_tar_are_read(tmp_path: Path, sparse: Path, options: list[str]) -> None:
    from dockmagic_runtime.images.unpack import unpack

    tar = shutil.which("tar")
    assert tar
    version = [f"--sparse-version={options[1]}"] if options[1:] else []
    archive = subprocess.run(
        [tar, "-c", "-S", f"--format={options[0]}", *version, "-C", str(tmp_path), "sparse"],
        check=True,
        capture_output=True,
    ).stdout
    assert len(archive) < sparse.stat().st_size // 4
    out = tmp_path / "out"
    out.mkdir()
    unpacked = unpack(io.BytesIO(archive), str(out))
    assert (out / "sparse").read_bytes() == sparse.read_bytes()
    assert unpacked.size == sparse.stat().st_size
    assert (out / "sparse").stat().st_blocks * 512 < sparse.stat().st_size // 2


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.map": "0,4,2,4", "GNU.sparse.size": "8"},  # overlap
        {"GNU.sparse.map": "0,4", "GNU.sparse.size": "2"},  # beyond the end
        {"GNU.sparse.map": "0,4,5", "GNU.sparse.size": "9"},  # half a segment
        {"GNU.sparse.map": "0,9", "GNU.sparse.size": "9"},  # more than is stored
        {"GNU.sparse.map": "0,4"},  # no size
        {"GNU.sparse.size": "4"},  # no map
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "4"},
        {"GNU.sparse.map": f"{1 << 62},4", "GNU.sparse.size": str((1 << 62) + 4)},
    ],
)
def test_malformed_sparse_maps_are_refused(records: dict[str, str]) -> None:
    member = make_member("x")
    member.pax_headers = dict(records)
    with pytest.raises(InvalidInput):
        read(make_tar((member, b"data")).getvalue())


# --- anything ---------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_read_or_refused(data: st.DataObject) -> None:
    member = make_member("x" * 120, mtime=1.5)
    good = bytearray(make_tar((member, b"data"), make_member("y")).getvalue()[:3072])
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    try:
        entries = read(bytes(good[:cut]), Limits(size=1 << 20, entries=50))
    except InvalidInput:
        return
    assert all(entry.size >= 0 for entry in entries)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700))
def test_chunks_may_end_anywhere(size: int) -> None:
    tar = make_tar((make_member("x" * 120), b"data" * 300), make_member("y")).getvalue()
    pieces = [tar[start : start + size] for start in range(0, len(tar), size)]
    stream = ByteStream(iter(pieces), 1 << 20)
    assert [e.name for e in ArchiveReader(stream, Limits())] == ["x" * 120, "y"]
    assert stream.drain()
    assert stream.size == len(tar)

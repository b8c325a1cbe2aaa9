"""Images from archives: all formats, all features of layers, and what attackers may send."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import stat
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagefiles import (
    CAPABILITY,
    TestImage,
    archived,
    header,
    layer,
    link,
    member,
    sha256,
    write_layout,
)

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.images import archive, tarscan
from branchpoint.system.images.accounts import identify
from branchpoint.system.images.archive import open_archive


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


BASE = layer(
    member("etc"),
    member("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv/web:/bin/sh\n"),
    member("etc/group", b"root:x:0:\nweb:x:33:\nlog:x:44:web,root\naudio:x:50:\n"),
    member("usr/bin"),
    member("usr/bin/ping", b"ping", mode=0o755, pax_headers={
        "SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}),
    link("bin", "usr/bin"),
    member("data", mode=0o2770, uid=33, gid=33),
    member("data/old", b"old"),
    member("data/keep", b"keep"),
    member("full"),
    member("full/a", b"a"),
    member("full/sub"),
    member("full/sub/b", b"b"),
)  # fmt: skip
TOP = layer(
    member("data/.wh.old", b""),
    member("data/new", b"new", uid=33, gid=44, mode=0o4755),
    member("full/.wh..wh..opq", b""),
    member("full/c", b"c"),
    member("bin/tool", b"tool", mode=0o755),
    link("data/link", "../etc/passwd"),
    link("data/hard", "data/new", hard=True),
    member("pipe", b"", type=tarfile.FIFOTYPE),
    member("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
)
RUN = {
    "Env": ["PATH=/bin", "A=b=c"],
    "Entrypoint": ["/bin/tool"],
    "Cmd": ["x"],
    "WorkingDir": "/data",
    "User": "web",
    "StopSignal": "SIGQUIT",
    "Volumes": {"/data": {}},
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 10**9, "Retries": 2},
    "ExposedPorts": {"80/tcp": {}},
}
IMAGE = TestImage([BASE, TOP], RUN)
PACKERS = {"docker.gz": gzip.compress, "docker.xz": lzma.compress, "docker.bz2": bz2.compress}
FORMATS = ["docker", *PACKERS, "oci-gzip", "oci-zstd", "oci-plain", "oci-archive"]


def written(image: TestImage, form: str, tmp_path: Path) -> Path:
    path = tmp_path / form
    if form.startswith("docker"):
        image.docker(path)
        if form in PACKERS:
            path.write_bytes(PACKERS[form](path.read_bytes()))
        return path
    kind = {"oci-plain": "", "oci-archive": "gzip"}.get(form, form.removeprefix("oci-"))
    layout = image.oci(tmp_path / f"{form}.d", kind)
    return archived(layout, path) if form == "oci-archive" else layout


def unpacked(path: Path, tag: str = "") -> Tree:
    with open_archive(path, tag) as image:
        return image.unpack()


@pytest.mark.parametrize("form", FORMATS)
def test_formats(tmp_path: Path, form: str) -> None:
    path = written(IMAGE, form, tmp_path)
    with open_archive(path) as image:
        assert image.id == IMAGE.id
        config = image.config
        tree = image.unpack()
    assert config.environment == ("PATH=/bin", "A=b=c")
    assert (config.entrypoint, config.command) == (("/bin/tool",), ("x",))
    assert (config.working_dir, config.user, config.stop_signal) == ("/data", "web", "SIGQUIT")
    assert config.volumes == ("/data",)
    assert config.healthcheck is not None
    assert (config.healthcheck.test, config.healthcheck.interval) == (("CMD-SHELL", "true"), 10**9)
    assert tree.read("data/new") == b"new"


def test_layers(tmp_path: Path) -> None:
    tree = unpacked(IMAGE.docker(tmp_path / "i"))
    assert sorted(tree.get("data").children) == ["hard", "keep", "link", "new"]  # type: ignore[union-attr]
    assert sorted(tree.get("full").children) == ["c"]  # type: ignore[union-attr]
    assert tree.read("usr/bin/tool") == b"tool"  # through the link bin -> usr/bin
    assert not any(path.split("/")[-1].startswith(".wh.") for path, _ in tree.walk())


def test_attributes(tmp_path: Path) -> None:
    tree = unpacked(IMAGE.docker(tmp_path / "i"))
    nodes = dict(tree.walk())
    assert nodes["usr/bin/ping"].xattrs == {"security.capability": CAPABILITY}
    new = nodes["data/new"]
    assert (stat.S_IMODE(new.mode), new.uid, new.gid) == (0o4755, 33, 44)
    assert nodes["data/hard"] is new
    assert nodes["data/link"].target == "../etc/passwd"
    assert (stat.S_IMODE(nodes["data"].mode), nodes["data"].uid) == (0o2770, 33)
    assert stat.S_ISFIFO(nodes["pipe"].mode)
    assert nodes["null"].device == (1, 3)


def test_a_layer_may_replace_what_it_removed(tmp_path: Path) -> None:
    first = layer(member("a"), member("a/x", b"1"), member("b", b"file"))
    second = layer(
        member(".wh.a", b""), member("a", b"now a file"), member(".wh.b", b""), member("b")
    )
    tree = unpacked(TestImage([first, second]).docker(tmp_path / "i"))
    assert tree.read("a") == b"now a file"
    assert tree.get("b").is_dir  # type: ignore[union-attr]


def test_repeated_layers_of_old_docker(tmp_path: Path) -> None:
    twice = TestImage([BASE, TOP, BASE]).docker(tmp_path / "i", legacy=True)
    assert unpacked(twice).read("data/old") == b"old"


def test_tags(tmp_path: Path) -> None:
    one, two = TestImage([BASE]), TestImage([TOP])
    blobs, first = one.blobs()
    more, second = two.blobs()
    name = "org.opencontainers.image.ref.name"
    first["annotations"], second["annotations"] = {name: "v1"}, {name: "v2"}
    write_layout(tmp_path / "l", blobs | more, [first, second])
    with open_archive(tmp_path / "l", "v2") as image:
        assert image.id == two.id
    with pytest.raises(ImageError, match="several images: v1, v2"), open_archive(tmp_path / "l"):
        pass
    with pytest.raises(ImageError, match='no image "v3"'), open_archive(tmp_path / "l", "v3"):
        pass


def test_platforms(tmp_path: Path) -> None:
    ours, theirs = TestImage([BASE]), TestImage([BASE], architecture="arm64")
    blobs: dict[str, bytes] = {}
    entries = []
    for image in (theirs, ours):
        more, entry = image.blobs()
        blobs |= more
        entry["platform"] = {"os": "linux", "architecture": image.architecture}
        entries.append(entry)
    entries.append({**entries[0], "platform": {"os": "unknown", "architecture": "unknown"}})
    index = json.dumps({"manifests": entries}).encode()
    blobs[sha256(index)] = index
    media = "application/vnd.oci.image.index.v1+json"
    write_layout(tmp_path / "l", blobs, [{"mediaType": media, "digest": f"sha256:{sha256(index)}"}])
    with open_archive(tmp_path / "l") as image:
        assert image.id == ours.id
    path = theirs.docker(tmp_path / "i")
    with pytest.raises(ImageError, match="is for linux/arm64"), open_archive(path):
        pass


def test_a_folder_of_a_manifest_and_its_files(tmp_path: Path) -> None:
    path = IMAGE.folder(tmp_path / "d")
    with open_archive(path) as image:
        assert image.id == IMAGE.id
        assert image.unpack().read("data/new") == b"new"
    (path / IMAGE.id).write_bytes(b"{}")
    with pytest.raises(ImageError, match="is damaged"), open_archive(path):
        pass


# --- what strangers may send ---------------------------------------------------------------------


def test_paths_do_not_lead_out(tmp_path: Path) -> None:
    evil = layer(
        member("../../escaped", b"1"),
        member("/absolute", b"2"),
        member("tmp"),
        link("out", "/tmp"),
        member("out/through", b"3"),
        link("up", "../../.."),
        member("up/above", b"4"),
    )
    tree = unpacked(TestImage([evil]).docker(tmp_path / "i"))
    assert {path for path, node in tree.walk() if node.is_file} == {
        "escaped",
        "absolute",
        "tmp/through",
        "above",
    }
    assert not (tmp_path.parent / "escaped").exists()
    assert not Path("/tmp/through").exists()


def test_impossible_members_are_located(tmp_path: Path) -> None:
    for evil in (
        layer(member("f", b"1"), member("f/below", b"2")),
        layer(link("loop", "loop"), member("loop/x", b"2")),
        layer(link("hard", "nothing", hard=True)),
        layer(member("d"), link("d/itself", "d", hard=True)),
    ):
        path = TestImage([evil]).docker(tmp_path / "i")
        with pytest.raises(ImageError, match=f"{path}: layer {sha256(evil)[:12]}: "):
            unpacked(path)


def test_a_layout_does_not_lead_out(tmp_path: Path) -> None:
    blobs, entry = IMAGE.blobs()
    write_layout(tmp_path / "l", blobs, [entry])
    config = tmp_path / "l" / "blobs" / "sha256" / IMAGE.id
    secret = tmp_path / "secret"
    secret.write_bytes(config.read_bytes())
    config.unlink()
    config.symlink_to(secret)
    with pytest.raises(ImageError, match="leads out of the image"), open_archive(tmp_path / "l"):
        pass


@pytest.mark.parametrize("digest", ["sha256:../../etc/passwd", "md5:00", "sha256:", "x"])
def test_digests_are_checked(tmp_path: Path, digest: str) -> None:
    write_layout(tmp_path / "l", {}, [{"digest": digest, "mediaType": "m"}])
    with pytest.raises(ImageError, match="not a sha256 digest"), open_archive(tmp_path / "l"):
        pass


def test_damaged_layers_are_noticed(tmp_path: Path) -> None:
    path = IMAGE.docker(tmp_path / "i")
    data = bytearray(path.read_bytes())
    data[data.index(b"keep" + bytes(100))] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match="does not match its digest"):
        unpacked(path)
    layout = IMAGE.oci(tmp_path / "l")
    blob = layout / "blobs" / "sha256" / IMAGE.id
    blob.write_bytes(blob.read_bytes().replace(b"amd64", b"AMD64"))
    with pytest.raises(ImageError, match="is damaged"), open_archive(layout):
        pass


def test_what_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "i"
    path.write_bytes(b"hello, this is not a tar file" * 100)
    with pytest.raises(ImageError, match="is not a tar archive"), open_archive(path):
        pass
    path.write_bytes(layer(member("x", b"y")))
    with pytest.raises(ImageError, match="is not a container image"), open_archive(path):
        pass
    with pytest.raises(ImageError, match="cannot be read"), open_archive(tmp_path / "gone"):
        pass


def bomb() -> bytes:
    """Gzip of 128 MiB of zeros, in 128 KiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", 64 << 20)
    path = tmp_path / "i"
    path.write_bytes(bomb())
    with pytest.raises(ImageError, match="is larger than 64 MiB"), open_archive(path):
        pass


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (header(b"x", b"x", 8 << 20), "has a header of 8388608 bytes"),
        (header(b"f", b"0", 1 << 32), "is cut off"),
        (header(b"f", b"V", 0), "unknown type b'V'"),
        (header(b"f", b"g", 20) + b"20 GNU.sparse.x=yyy\n".ljust(512, b"\0"), "global pax header"),
        (header(b"f", b"x", 9) + b"99 path=x".ljust(512, b"\0"), "malformed pax header"),
        (header(b"f", b"x", 9) + b"0 path=x\n".ljust(512, b"\0"), "malformed pax header"),
        (header(b"f", b"x", 13) + b"13 size=1e9\n\n".ljust(512, b"\0"), "malformed pax header"),
        (header(b"f", b"g", 12) + b"12 path=abc\n".ljust(512, b"\0"), "global pax header"),
        (header(b"a/" * 40, b"L", 9216) + b"a/".ljust(2, b"\0") * 4608, "a name of"),
        (b"\1" * 512, "is not a tar archive"),
        (header(b"f", b"0", 0)[:300], "is cut off"),
    ],
)
def test_hostile_headers(data: bytes, message: str) -> None:
    follows = header(b"next", b"0", 0)
    with pytest.raises(ImageError, match=message):
        tarscan.scan(io.BytesIO(data + (follows if len(data) % 512 == 0 else b"")), "it")


def test_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarscan, "MAX_ENTRIES", 10)
    with pytest.raises(ImageError, match="more than 10 entries"):
        tarscan.scan(io.BytesIO(header(b"f", b"0", 0) * 11), "it")


def test_directories_too_deep(tmp_path: Path) -> None:
    deep = layer(
        member("/".join(["d"] * 150)), link("s", "/".join(["d"] * 150)), member("s/" * 100)
    )
    with pytest.raises(ImageError, match=r"levels deep|characters"):
        unpacked(TestImage([deep]).docker(tmp_path / "i"))
    climbing = layer(
        member("/".join(["d"] * 150)), link("s", "/".join(["d"] * 150)), member("s/" + "e/" * 150)
    )
    with pytest.raises(ImageError, match="levels deep"):
        unpacked(TestImage([climbing]).docker(tmp_path / "i"))


GOOD = [TestImage([BASE, TOP], RUN)]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_flipped_bytes_are_named(tmp_path: Path, data: st.DataObject) -> None:
    path = GOOD[0].docker(tmp_path / "flipped")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        with open_archive(path) as image:
            image.unpack()
    except ImageError as error:
        assert str(path) in str(error)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_scanned_or_refused(data: bytes) -> None:
    blocks = [header(data[:50].replace(b"\0", b"x"), data[50:51] or b"0", len(data))]
    for start in (data, b"".join(blocks) + data):
        try:
            tarscan.scan(io.BytesIO(start), "it")
        except ImageError as error:
            assert str(error).startswith("it ")


@pytest.mark.parametrize(
    "config",
    [b"{}", b"[]", b"{", b'{"rootfs": {"diff_ids": "x"}}', b"[" * 100_000, b'{"rootfs": {}}',
     b'{"os": "\xff", "rootfs": {"diff_ids": []}}',
     b'{"config": {"Env": ["A=\xc3"]}, "rootfs": {"diff_ids": []}}'],
)  # fmt: skip
def test_malformed_configurations(tmp_path: Path, config: bytes) -> None:
    manifest = [{"Config": "c", "RepoTags": None, "Layers": []}]
    path = tmp_path / "i"
    path.write_bytes(
        layer(member("c", config), member("manifest.json", json.dumps(manifest).encode()))
    )
    with pytest.raises(ImageError, match="malformed"), open_archive(path):
        pass


def test_a_bad_byte_in_what_an_archive_says_of_itself(tmp_path: Path) -> None:
    docker, layout = tmp_path / "docker.tar", tmp_path / "layout"
    manifest = b'[{"Config": "c", "RepoTags": ["\xff"], "Layers": []}]'
    docker.write_bytes(layer(member("c", b"{}"), member("manifest.json", manifest)))
    layout.mkdir()
    (layout / "index.json").write_bytes(b'{"manifests": [{"digest": "\xff"}]}')
    for path in (docker, layout):
        with pytest.raises(ImageError, match=r"json is malformed: .*UTF-8"):
            unpacked(path)


@pytest.mark.parametrize(
    "name", ["a\0b", "x" * 5000, "gone", ".", "../secret", "/etc/passwd", "loop", "pipe", "a/b"]
)
def test_a_folder_gives_only_ordinary_files_of_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"{}")
    path = tmp_path / "image"
    path.mkdir()
    (path / "loop").symlink_to("loop")
    os.mkfifo(path / "pipe")
    manifest = [{"Config": name, "RepoTags": None, "Layers": []}]
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ImageError, match=r"leads out of|cannot be read|not an ordinary file"):
        unpacked(path)


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="pipe is not an ordinary file"):
        unpacked(tmp_path / "pipe")


@pytest.mark.parametrize("time", ["nan", "inf", "-inf", "1e400", "x", "9" * 400, "-5"])
def test_times_that_are_none(tmp_path: Path, time: str) -> None:
    """They become what a file system can store, or are refused."""
    made = TestImage([layer(member("x", b"x", pax_headers={"mtime": time}))])
    try:
        unpacked(made.docker(tmp_path / "i")).write_tar(io.BytesIO())
    except ImageError as error:
        assert "layer" in error.message


# --- users ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "more", "uid", "gid", "groups", "home"),
    [
        ("", (), 0, 0, (44,), "/root"),
        ("web", (), 33, 33, (44,), "/srv/web"),
        ("33", (), 33, 33, (44,), "/srv/web"),
        ("web:audio", (), 33, 50, (), "/srv/web"),
        ("1234", (), 1234, 0, (), "/"),
        ("1234:5678", ("audio", "99"), 1234, 5678, (50, 99), "/"),
        ("root:0", (), 0, 0, (), "/root"),
    ],
)
def test_users(
    tmp_path: Path, user: str, more: tuple[str, ...], uid: int, gid: int, groups: object, home: str
) -> None:
    found = identify(unpacked(IMAGE.docker(tmp_path / "i")), user, more)
    assert (found.uid, found.gid, found.groups, found.home) == (uid, gid, groups, home)


def test_unknown_users(tmp_path: Path) -> None:
    tree = unpacked(IMAGE.docker(tmp_path / "i"))
    with pytest.raises(ImageError, match='no user "bob"'):
        identify(tree, "bob")
    with pytest.raises(ImageError, match='no group "staff"'):
        identify(tree, "web:staff")
    assert identify(Tree(), "7").uid == 7

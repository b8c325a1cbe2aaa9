"""The guest image's parts: file trees, Debian packages, file systems, and the whole build."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from branchpoint import files
from branchpoint.errors import ImageError, SetupError
from branchpoint.guest import boot, erofs, image, toolbox
from branchpoint.guest.initramfs import LATE_MODULES, MODULES, archive
from branchpoint.guest.tree import EPOCH, Node, Tree

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def tar_of(*entries: tuple[str, bytes | str | None] | tarfile.TarInfo) -> io.BytesIO:
    """A tar stream: (name, None) a directory, (name, text) a link, (name, bytes) a file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            name, content = entry
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    out.seek(0)
    return out


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.LNKTYPE, target
    return link


def tar_bytes(tree: Tree) -> bytes:
    out = io.BytesIO()
    tree.write_tar(out)
    return out.getvalue()


def names(tree: Tree) -> list[str]:
    return [path for path, _ in tree.walk()]


def found(tree: Tree, path: str) -> Node:
    node = tree.get(path)
    assert node is not None
    return node


# --- trees ---


def test_paths_lead_through_links_of_the_tree() -> None:
    tree = Tree()
    tree.add_symlink("lib", "usr/lib")
    tree.add_symlink("usr/lib64", "/lib/x86")
    tree.add_dir("usr/lib/x86")
    tree.add_file("lib/a", b"a")
    tree.add_file("usr/lib64/b", b"b")
    assert {"usr/lib/a", "usr/lib/x86/b"} < set(names(tree))
    assert tree.read("/lib/x86/../a") == b"a"
    assert tree.real_path("usr/lib64/b") == "usr/lib/x86/b"


@pytest.mark.parametrize(("layer", "place"), [(False, "usr/lib/x"), (True, "lib/x")])
def test_a_package_keeps_a_link_to_a_directory_and_a_layer_replaces_it(
    layer: bool, place: str
) -> None:
    tree = Tree()
    tree.add_dir("usr/lib")
    tree.add_symlink("lib", "usr/lib")
    tree.apply_tar(tar_of(("./lib", None), ("./lib/x", b"x")), layer=layer)
    assert [name for name in names(tree) if name.endswith("/x")] == [place]


def test_loops_and_files_as_directories_are_refused() -> None:
    tree = Tree()
    tree.add_symlink("a", "b")
    tree.add_symlink("b", "a")
    assert tree.get("a/x") is None
    with pytest.raises(ImageError, match="not a directory"):
        tree.add_file("a/x", b"")
    with pytest.raises(ImageError, match="name of a file"):
        tree.add_file("/", b"")
    with pytest.raises(ImageError, match="no file"):
        tree.read("nothing")


def test_tar_names_cannot_leave_the_tree() -> None:
    tree = Tree()
    tree.apply_tar(tar_of(("../../etc/passwd", b"x"), ("/absolute", b"y")))
    assert names(tree) == ["absolute", "etc", "etc/passwd"]


def test_whiteouts_remove_what_earlier_layers_put_there() -> None:
    first = tar_of(("d", None), ("d/old", b""), ("d/sub/x", b""), ("e", b""), ("f/g", b""))
    second = tar_of(
        *[("d/new", b""), ("d/sub/y", b""), ("d/.wh..wh..opq", b"")],
        *[(".wh.e", b""), ("f/.wh.g", b""), ("f/h", b""), (".wh.missing", b"")],
    )
    tree = Tree()
    tree.apply_tar(first, layer=True)
    tree.apply_tar(second, layer=True)
    assert names(tree) == ["d", "d/new", "d/sub", "d/sub/y", "f", "f/h"]


def test_a_whiteout_spares_its_own_layer() -> None:
    tree = Tree()
    tree.add_file("x", b"old")
    tree.apply_tar(tar_of(("x", b"new"), (".wh.x", b"")), layer=True)
    assert tree.read("x") == b"new"


def test_hard_links_stay_one_file() -> None:
    tree = Tree()
    tree.apply_tar(tar_of(("./a", b"12345"), hard_link("b", "./a")))
    assert tree.get("a") is tree.get("b")
    assert tree.size == 5
    copy = Tree()
    copy.merge(tree, "sub")
    assert copy.get("sub/a") is copy.get("sub/b") is not tree.get("a")
    with tarfile.open(fileobj=io.BytesIO(tar_bytes(copy))) as tar:
        assert tar.getmember("sub/b").linkname == "sub/a"


def test_a_hard_link_to_nothing_is_an_error() -> None:
    with pytest.raises(ImageError, match="does not exist"):
        Tree().apply_tar(tar_of(hard_link("b", "a")))


def test_broken_archives_are_errors() -> None:
    whole = tar_of(("a", b"x" * 5000)).getvalue()
    for data in (b"no tar at all" * 100, whole[:3000]):
        with pytest.raises(ImageError, match="tar"):
            Tree().apply_tar(io.BytesIO(data))


def test_the_tar_is_the_same_in_whatever_order_the_tree_was_made() -> None:
    parts: list[Callable[[Tree], None]] = [
        lambda tree: tree.add_file("b/x", b"1", 0o600, 5, 6, 7),
        lambda tree: tree.add_file("a/" + "long" * 40, b"2"),
        lambda tree: tree.add_symlink("c", "t" * 150),
        lambda tree: tree.add_file("d", b"", xattrs={"user.b": b"2", "user.a": b"1"}),
    ]
    tars = set()
    for order in itertools.permutations(parts):
        tree = Tree()
        for part in order:
            part(tree)
        tars.add(tar_bytes(tree))
    assert len(tars) == 1


def test_attributes_survive_a_tar() -> None:
    name = "f" * 200
    tree = Tree()
    tree.add_file(
        name, b"data", 0o4755, 3_000_000, 70_000, 1234567, {"security.capability": CAPABILITY}
    )
    tree.add_file("caf\udce9", b"a name in no known encoding")
    tree.add_dir("d", 0o1777, 1, 2, 3)
    device = tarfile.TarInfo("null")
    device.type, device.devmajor, device.devminor, device.mode = tarfile.CHRTYPE, 1, 3, 0o666
    tree.apply_tar(tar_of(device))
    again = Tree()
    again.apply_tar(io.BytesIO(tar_bytes(tree)))
    assert tar_bytes(again) == tar_bytes(tree)
    node = found(again, name)
    assert (node.mode & 0o7777, node.uid, node.gid) == (0o4755, 3_000_000, 70_000)
    assert node.mtime == 1234567
    assert node.xattrs == {"security.capability": CAPABILITY}


def test_names_of_attributes_may_be_any_bytes() -> None:
    tree = Tree()
    tree.add_file("x", b"x", xattrs={os.fsdecode(b"user.\xff"): b"value"})
    again = Tree()
    again.apply_tar(io.BytesIO(tar_bytes(tree)))
    assert found(again, "x").xattrs == found(tree, "x").xattrs


def test_times_can_be_capped() -> None:
    late = tarfile.TarInfo("late")
    late.mtime = EPOCH + 5
    tree = Tree()
    tree.apply_tar(tar_of(late), latest=EPOCH)
    assert found(tree, "late").mtime == EPOCH


def test_remove_and_merge() -> None:
    tree = Tree()
    tree.add_file("d/a", b"1")
    tree.add_symlink("l", "d")
    tree.remove("l")
    tree.remove("nothing/there")
    assert names(tree) == ["d", "d/a"]
    other = Tree()
    other.add_file("d/a", b"2")
    other.add_file("d/b", b"3")
    tree.merge(other)
    other.remove("d/b")
    assert (tree.read("d/a"), tree.read("d/b")) == (b"2", b"3")


# --- files ---


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.publish(tmp_path / "x") as path:
        path.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.publish(tmp_path / "x") as path:
        path.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_too_little_space_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="MiB free"):
        files.need_space(tmp_path, 1 << 60)


# --- file systems ---


def test_the_nvdimm_header_is_a_function_of_the_size() -> None:
    size = 1 << 30
    data = erofs.header(size)
    assert len(data) == 8192 and data[:4096] == bytes(4096)
    assert data == erofs.header(size) != erofs.header(2 * size)
    info = data[4096:]
    assert info[:16] == b"NVDIMM_PFN_INFO\0"
    assert struct.unpack_from("<HHQQI", info, 52) == (1, 4, 2 << 20, (size - (2 << 20)) // 4096, 1)
    low = high = 0
    for word in (*struct.unpack("<1022I", info[:-8]), 0, 0):
        low = (low + word) % 2**32
        high = (high + low) % 2**32
    assert struct.unpack("<II", info[-8:]) == (low, high)


def test_nvdimm_files_are_reproducible_and_sparse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree()
    tree.add_file("hello", b"hello" * 1000, xattrs={"security.capability": CAPABILITY})
    tree.add_symlink("link", "hello")
    heads = []
    for name, time in (("a", "1"), ("b", "86400")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", time)  # mkfs.erofs would obey it
        erofs.write_nvdimm(tree, tmp_path / name)
        with (tmp_path / name).open("rb") as file:
            heads.append(file.read(4 << 20))
    assert heads[0] == heads[1]
    assert heads[0][:8192] == erofs.header(256 << 20)
    assert heads[0][(2 << 20) + 1024 :][:4] == bytes.fromhex("e2e1f5e0")  # erofs' magic number
    assert b"hello" * 1000 in heads[0]
    stat = (tmp_path / "a").stat()
    assert stat.st_size == 256 << 20
    assert stat.st_blocks * 512 < 4 << 20


# --- what boots ---


@pytest.mark.parametrize("ram", [256 << 20, 1 << 30, 3 << 30])
def test_the_command_line_reserves_the_mailbox_below_the_firmware_tables(ram: int) -> None:
    words = boot.command_line(ram).split()
    address = boot.mailbox_address(ram)
    assert address % (1 << 20) == 0
    assert address + (9 << 20) <= ram
    assert f"memmap=0x800000${address:#x}" in words
    assert f"branchpoint.mailbox={address:#x},0x800000" in words
    assert "nokaslr" in words


def test_cpio_entries() -> None:
    tree = Tree()
    tree.add_file("init", b"program", 0o755)
    data = archive(tree)
    assert data[:6] == b"070701" and len(data) % 512 == 0
    assert int(data[14:22], 16) == 0o100755 and int(data[54:62], 16) == 7
    assert data[110:115] == b"init\0" and data[116:123] == b"program"
    assert b"TRAILER!!!\0" in data


def test_modules_come_after_what_they_need() -> None:
    initrd = image.ensure_image().initrd.read_bytes()

    def order(name: bytes) -> list[str]:
        head = re.search(rb"070701[0-9A-F]{104}" + re.escape(name) + rb"\0+", initrd)
        assert head is not None
        size = int(head[0][54:62], 16)
        text = initrd[head.end() : head.end() + size].decode()
        return [line.removeprefix("/modules/").removesuffix(".ko") for line in text.split()]

    early = order(b"modules.list")
    assert set(MODULES) <= set(early)
    assert order(b"modules.late") == list(LATE_MODULES)
    for needed, by in (("libnvdimm", "nfit"), ("stp", "bridge"), ("nf_conntrack", "nft_ct")):
        assert early.index(needed) < early.index(by)


def test_busybox_is_asked_where_programs_may_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", "/proc")  # no program can be run from there
    assert toolbox._applets(b"#!/bin/sh\necho ls ip\n") == ["ls", "ip"]
    assert list(tmp_path.iterdir()) == []


def test_the_toolbox_is_complete(tmp_path: Path) -> None:
    """The program of each wrapper finds all its libraries in the toolbox."""
    tree = toolbox.toolbox()
    for name in ("crun", "gdb", "ip", "nft", "nsenter", "ps", "ss", "strace", "tc", "tcpdump"):
        assert found(tree, f"bin/{name}").content, f"no wrapper for {name}"
    for name in ("sh", "bash", "busybox"):
        assert tree.read(f"bin/{name}").startswith(b"\x7fELF")
    tar = tmp_path / "tar"
    root = tmp_path / "root"
    root.mkdir()
    with tar.open("wb") as file:
        tree.write_tar(file)
    subprocess.run(["tar", "--no-same-owner", "-C", root, "-xf", tar], check=True)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    wrappers = [file for file in (root / "bin").iterdir() if file.read_bytes().startswith(b"#!")]
    assert len(wrappers) > 100
    for wrapper in wrappers:
        program = re.search(rf" {toolbox._SHOWN}/(usr/s?bin/\S+)", wrapper.read_text())
        assert program is not None, wrapper.name
        command = [libraries / "ld-linux-x86-64.so.2", "--library-path", libraries, "--list"]
        listed = subprocess.run([*command, root / program[1]], capture_output=True, text=True)
        assert "not found" not in listed.stdout + listed.stderr, (wrapper.name, listed.stdout)


BUILD = """
import sys
from pathlib import Path
from branchpoint import progress
from branchpoint.guest import image
with progress.task("test") as task:
    image.build(Path(sys.argv[1]), task)
"""


@pytest.mark.long
def test_two_builds_are_equal(tmp_path: Path) -> None:
    """... also in processes that differ in hash seed, time zone, umask, working directory, and in
    the computer's compilers: the second process finds none that works.
    """
    digests = []
    for name in ("gcc", "cc", "cpp", "as", "ld"):
        broken = tmp_path / "bin" / name
        broken.parent.mkdir(exist_ok=True)
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
    without = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for seed, zone, umask, work, path in (
        ("1", "UTC", 0o022, "/", os.environ["PATH"]),
        ("2", "Asia/Tokyo", 0o077, tmp_path, without),
    ):
        folder = tmp_path / seed
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", BUILD, folder],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "PATH": path},
            umask=umask,
            cwd=work,
            check=True,
        )
        digests.append(json.loads((folder / "image.json").read_text())["digest"])
    assert digests[0] == digests[1] == image.ensure_image().digest


def test_the_image_is_cached_and_knows_the_kernel_s_addresses() -> None:
    guest = image.ensure_image()
    assert guest == image.ensure_image()
    for file in (guest.kernel, guest.initrd, guest.toolbox):
        assert file.is_file()
    address = guest.kallsyms["__switch_to_asm"]
    assert 0xFFFFFFFF81000000 <= address < 0xFFFFFFFFC0000000
    size = guest.toolbox.stat().st_size
    assert size & (size - 1) == 0
    with guest.toolbox.open("rb") as file:
        assert file.read(8192) == erofs.header(size)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "image.json").write_text("{")
    with pytest.raises(ImageError, match="damaged"):
        image.load(tmp_path)

"""Images in all forms in which others save them: what containers see is what another tool unpacks.

Skopeo writes the forms, and umoci unpacks the image; both come from Debian.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from imagefiles import CAPABILITY, TestImage, layer, link, member

import branchpoint as bp
from branchpoint.debian.hosttools import Tools, unpack
from branchpoint.guest import debian
from branchpoint.system.images.archive import open_archive

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.geteuid() != 0, reason="files of any owner")]

FORMS = {
    "docker-archive": "docker-archive:{folder}/docker-archive:it:1",
    "oci-archive": "oci-archive:{folder}/oci-archive:1",
    "oci": "oci:{folder}/oci:1",
    "dir": "dir:{folder}/dir",
    "docker-dir": "dir:{folder}/docker-dir",
}
"""For skopeo; what the last one is called by podman has a manifest of docker's kind."""
OURS = "dev", "proc", "sys"
"""Folders that a container has beside those of its image, at its root."""
GIVEN = "etc/hosts", "etc/hostname", "etc/resolv.conf", "usr/lib", "usr/lib/libvoidstar.so"
LIST = """
cd /
find . -xdev | sort | while IFS= read -r name; do
    said=$(stat -c '%f %u %g %Y %t %T' "$name")
    if [ -h "$name" ]; then more=$(readlink "$name")
    elif [ -f "$name" ]; then more=$(sha256sum < "$name" | cut -c -64)
    else more=; fi
    echo "$name|$said|$more"
done
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    root = tmp_path_factory.mktemp("tools") / "root"
    unpack(debian.resolve(["skopeo", "umoci", "busybox-static"]), root)
    return Tools(root)


def image_of(busybox: bytes, folder: Path) -> TestImage:
    """Three layers with what is easily got wrong."""
    first = layer(
        member("usr"),
        member("usr/lib"),
        member("usr/bin"),
        link("bin", "usr/bin"),
        member("usr/bin/busybox", busybox, mode=0o755),
        link("usr/bin/sh", "busybox"),
        member("usr/bin/strong", b"s", mode=0o6755),
        member(
            "usr/bin/able",
            b"a",
            pax_headers={"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")},
        ),
        member("etc"),
        member("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        link("etc/hard", "etc/passwd", hard=True),
        member("data", mode=0o2770, uid=33, gid=44),
        member("data/a", b"a"),
        member("data/b", b"b"),
        member("full"),
        *(member(f"full/{name}", b"") for name in "ab"),
        member("changes", b"a file"),
        member("changed"),
        member("changed/in", b"in"),
        member("tmp", mode=0o1777),
        member("n" * 120),
        member(f"{'n' * 120}/{'m' * 200}", b"long"),
        member("\N{LATIN SMALL LETTER U WITH DIAERESIS}", b"u", mtime=1.5),
        member("far", b"", uid=2**31 + 5, gid=2**30, mtime=2**32),
        member("pipe", b"", type=tarfile.FIFOTYPE),
        member("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        link("nowhere", "there/is/nothing"),
    )
    second = layer(
        member("data/.wh.a", b""),
        member("full/.wh..wh..opq", b""),
        member("full/c", b"c"),
        member(".wh.changes", b""),
        member("changes"),
        member("changes/in", b"in"),
        member(".wh.changed", b""),
        member("changed", b"a file"),
        member("bin/more", b"through the link"),
        member("etc/passwd", b"root:x:0:0::/:/bin/sh\n", mode=0o600),
        member("usr/bin", mode=0o711),
    )
    with (folder / "holes").open("wb") as file:
        for offset in (1 << 20, 3 << 20):
            file.seek(offset)
            file.write(os.urandom(5000))
        file.truncate(5 << 20)
    command = ["tar", "--format=posix", "--sparse", "-C", str(folder), "-cf", "-", "holes"]
    third = subprocess.run(command, check=True, capture_output=True).stdout
    return TestImage([first, second, third], {"Cmd": ["/bin/busybox", "sleep", "infinity"]})


@pytest.fixture(scope="module")
def folder(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All forms of the image; ``unpacked`` is what umoci makes of it."""
    folder = tmp_path_factory.mktemp("forms")
    busybox = (tools.root / "usr" / "bin" / "busybox").read_bytes()
    image_of(busybox, folder).oci(folder / "made")
    policy = folder / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    copy = [*tools.command("usr/bin/skopeo"), "--policy", policy, "--tmpdir", folder, "copy"]
    for form, target in FORMS.items():
        kind = ["--format", "v2s2"] if form == "docker-dir" else []
        names = [f"oci:{folder}/made:1", target.format(folder=folder)]
        subprocess.run([*copy, "--quiet", *kind, *names], check=True)
    umoci = tools.root / "usr" / "bin" / "umoci"
    command = [umoci, "unpack", "--keep-dirlinks", "--image", folder / "made:1", folder / "bundle"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "bundle" / "rootfs").rename(folder / "unpacked")
    return folder


def theirs(root: Path) -> dict[str, tuple[Any, ...]]:
    """Each file that umoci made: its kind, rights, owners, time, device, attributes, content."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in root.rglob("*"):
        info = path.lstat()
        names = os.listxattr(path, follow_symlinks=False)
        more: object = None
        if stat.S_ISLNK(info.st_mode):
            more = str(path.readlink())
        elif stat.S_ISREG(info.st_mode):
            more = sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (
            info.st_mode, info.st_uid, info.st_gid, int(info.st_mtime),
            (os.major(info.st_rdev), os.minor(info.st_rdev)),
            {name: os.getxattr(path, name, follow_symlinks=False) for name in names}, more,
        )  # fmt: skip
    return found


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_what_another_tool_unpacks(folder: Path, form: str) -> None:
    with open_archive(folder / form) as image:
        tree = image.unpack()
    ours: dict[str, tuple[Any, ...]] = {}
    for path, node in tree.walk():
        more: object = None
        if node.is_link:
            more = node.target
        elif node.content is not None or stat.S_ISREG(node.mode):
            more = sha256(tree.read(path) or b"").hexdigest()
        owners = node.uid, node.gid, node.mtime
        ours[path] = (node.mode, *owners, node.device, node.xattrs, more)
    expected = theirs(folder / "unpacked")
    assert ours.keys() == expected.keys()
    for path, what in expected.items():
        assert ours[path] == what, path
    names = "etc/passwd", "etc/hard"
    inodes = {(folder / "unpacked" / name).stat().st_ino for name in names}
    assert len({id(tree.get(name)) for name in names}) == len(inodes)


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[bp.Recording]:
    services = "".join(f"  {form}: {{image: './{form}'}}\n" for form in FORMS)
    (folder / "compose.yaml").write_text(f"services:\n{services}")
    with bp.record(folder, folder / "forms.branchpoint", duration=0.5) as run:
        yield run


@pytest.mark.parametrize("form", FORMS)
def test_a_container_sees_it(run: bp.Recording, folder: Path, form: str) -> None:
    said = bp.bash(LIST).run(run.end.branch(), f"{form}.1", privileged=True)
    lines = (line.removeprefix("./").split("|") for line in said.stdout.splitlines())
    seen = {name: (facts, more) for name, facts, more in lines if _is_its_own(name)}
    expected = {
        path: (f"{mode:x} {uid} {gid} {mtime} {device[0]:x} {device[1]:x}", more or "")
        for path, (mode, uid, gid, mtime, device, _, more) in theirs(folder / "unpacked").items()
        if _is_its_own(path)
    }
    assert seen == expected


def _is_its_own(path: str) -> bool:
    return path not in (".", "etc", *GIVEN) and path.split("/")[0] not in OURS

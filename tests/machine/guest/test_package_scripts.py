"""Packages' own scripts, and a recipe's commands: run in the machine when an image is built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from debs import deb

from branchpoint.cache import cache_dir
from branchpoint.errors import ImageError
from branchpoint.guest import debian, workshop
from branchpoint.guest.debian import Deb
from branchpoint.guest.tree import EPOCH, Tree
from branchpoint.system import build
from branchpoint.system.images import configuring
from branchpoint.system.images import installed as keeping
from branchpoint.system.images.debian_image import BASE

# What a script could make different each time it runs.
CHANCE = """\
#!/bin/sh
set -e
useradd --system --home-dir /var/lib/chancy --create-home chancy
cd /var/lib/chancy
od -An -tx1 -N64 /dev/urandom > random
date +%s.%N > time
for i in 1 2 3 4 5; do sh -c 'echo $$' >> processes & done
wait
mktemp -p . > name
perl -e 'my %h = map { $_ => 1 } 1..99; print join " ", keys %h' > order
cat /proc/sys/kernel/random/uuid > uuid
"""
DIVERTS = """\
#!/bin/sh
set -e
dpkg-divert --package diverter --add --rename --divert /usr/share/x.other /usr/share/x
"""
TELLS = """\
#!/bin/sh
set -e
[ "$1" = configure ]
mkdir -p /var/lib/told
dpkg-trigger told
"""
TOLD = """\
#!/bin/sh
set -e
if [ "$1" = triggered ]; then echo "$2" > /var/lib/told/by; fi
"""


@pytest.fixture(scope="module")
def base() -> list[Deb]:
    return debian.resolve(BASE)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, base: list[Deb]) -> list[Deb]:
    """Packages, and the base below them, which the cache has afterwards."""
    folder = tmp_path_factory.mktemp("packages")
    configuring.configured(base, base)
    return [
        deb(folder, "chancy", {}, postinst=CHANCE),
        deb(folder, "diverter", {"usr/share/x": "new"}, preinst=DIVERTS),
        deb(folder, "other", {"usr/share/x": "old", "etc/other.conf": "as shipped"},
            conffiles="/etc/other.conf\n"),
        deb(folder, "tells", {}, "Depends: told\n", postinst=TELLS),
        deb(folder, "told", {"usr/share/told": ""}, postinst=TOLD, triggers="interest told\n"),
    ]  # fmt: skip


def installed(
    debs: list[Deb], base: list[Deb], place: Path, monkeypatch: pytest.MonkeyPatch
) -> Tree:
    """A tree with the packages in it, whose scripts have run in a machine of its own."""
    place.mkdir()
    shutil.copytree(cache_dir() / "changes", place / "changes", copy_function=os.link)
    for module in (configuring, keeping):
        monkeypatch.setattr(module, "cache_dir", lambda: place)
    before = len(list((place / "changes").iterdir()))
    tree = configuring.configured([*base, *debs], base)
    assert len(list((place / "changes").iterdir())) == before + 1
    return tree


class Digest:
    def __init__(self, tree: Tree) -> None:
        self._hash = hashlib.sha256()
        tree.write_tar(self)

    def write(self, data: bytes) -> None:
        self._hash.update(data)

    def __str__(self) -> str:
        return self._hash.hexdigest()


@pytest.mark.long
def test_equal_packages_equal_images(
    once: list[Deb], base: list[Deb], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = [installed(once, base, tmp_path / name, monkeypatch) for name in ("one", "two")]
    first, second = (str(Digest(tree)) for tree in trees)
    assert first == second
    tree = trees[0]

    # Users, links to what was chosen, PAM, the directories of a Debian system.
    assert b"\nchancy:x:" in tree.read("etc/passwd")
    assert len(tree.read("var/lib/chancy/random").split()) == 64
    assert EPOCH <= float(tree.read("var/lib/chancy/time")) < EPOCH + 3600
    assert tree.real_path("usr/bin/awk") == "usr/bin/mawk"
    assert tree.real_path("var/run") == "run"
    assert b"pam_unix.so" in tree.read("etc/pam.d/common-auth")
    assert b"libc.so.6" in tree.read("etc/ld.so.cache")

    # A file that a package puts aside, a trigger, a package's own settings.
    assert tree.read("usr/share/x") == b"new"
    assert tree.read("usr/share/x.other") == b"old"
    assert tree.read("var/lib/told/by") == b"told\n"
    assert tree.read("etc/other.conf") == b"as shipped"

    # Neither the machine's clock nor what only the build needs is left.
    assert max(node.mtime for _, node in tree.walk()) == EPOCH
    assert "usr/sbin/policy-rc.d" not in tree
    assert list(tree.get("dev").children) == []  # type: ignore[union-attr]

    # dpkg's database is whole.
    for path, node in tree.walk():
        if path.startswith("var/lib/dpkg"):
            target = tmp_path / "root" / path
            target.mkdir(parents=True) if node.is_dir else target.write_bytes(tree.read(path))
    admin = tmp_path / "root" / "var/lib/dpkg"
    audit = subprocess.run(["dpkg", f"--admindir={admin}", "--audit"], capture_output=True)
    assert (audit.returncode, audit.stdout) == (0, b"")
    show = ["dpkg-query", f"--admindir={admin}", "--show", "--showformat=${Package} ${Status}\n"]
    lines = subprocess.run(show, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(base) + len(once)
    assert all(line.endswith(" install ok installed") for line in lines)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("postinst", "the scripts of the package failing failed; the last that was said:"),
        ("preinst", "the script preinst of the package failing ended with code 7; the last"),
    ],
)
def test_a_failing_script_is_an_error_that_names_the_package(
    base: list[Deb], tmp_path: Path, script: str, message: str
) -> None:
    text = "#!/bin/sh\necho preparing\nprintf '\\033[31mno such thing\\n' >&2\nexit 7\n"
    failing = deb(tmp_path, "failing", {}, **{script: text})
    with pytest.raises(ImageError) as caught:
        configuring.configured([*base, failing], base)
    assert caught.value.message.startswith(message)
    assert "\n    preparing\n    ?[31mno such thing\n" in caught.value.message


@pytest.mark.long
def test_a_name_that_no_user_has(tmp_path: Path) -> None:
    text = """\
services:
  a:
    command: "true"
    x-branchpoint-debian:
      files: {/srv/g: {content: "g", owner: nobody-at-all}}
"""
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(ImageError, match=r'service "a": the image has no user "nobody-at-all"'):
        build(tmp_path)


@pytest.mark.long
def test_a_user_that_the_packages_have_made(tmp_path: Path) -> None:
    text = """\
services:
  a:
    command: "true"
    x-branchpoint-debian:
      users: {games: {uid: 1000}}
"""
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(ImageError, match=r'have made a user "games" already, .* 5:60'):
        build(tmp_path)


def test_commands_run_when_the_image_is_built(tmp_path: Path) -> None:
    text = """\
services:
  a:
    command: cat /made
    x-branchpoint-debian:
      users: {app: {uid: 1000}}
      files: {/srv/f: {content: "f"}, /srv/g: {content: "g", owner: games}}
      commands:
        - cat /srv/f > /made && chown app /made
        - test "$$(stat -c %U:%G /srv/g)" = games:games
        - |
          ls /sys/class/net
          test "$$(id -un)" = root
"""
    (tmp_path / "compose.yaml").write_text(text)
    assert build(tmp_path).digest == build(tmp_path).digest
    wrong = text.replace("= root", "= else").replace("services:", "name: wrong\nservices:")
    (tmp_path / "compose.yaml").write_text(wrong)
    with pytest.raises(
        ImageError, match=r'compose\.yaml:\d+: service "a": the command .*else'
    ) as e:
        build(tmp_path)
    assert "ended with code 1; the last that was said:\n    lo" in e.value.message


@pytest.mark.long
def test_a_script_that_writes_too_much_or_does_not_end(
    base: list[Deb], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = configuring.configured(base, base)
    monkeypatch.setattr(workshop, "LARGEST", 1 << 20)
    with pytest.raises(ImageError, match="have written more than 1 MiB"):
        configuring.run(tree, ["head -c 2000000 /dev/zero > /large"])
    monkeypatch.setattr(workshop, "LIMIT", 3 * 10**9)
    with pytest.raises(ImageError, match="have not ended after 3 s of the machine's time"):
        configuring.run(tree, ["sleep 1000"])
    assert "large" not in tree

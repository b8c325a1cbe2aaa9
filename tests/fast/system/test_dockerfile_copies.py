"""COPY and ADD in a Dockerfile: paths, patterns, owners, links, archives, what is ignored."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from dockerfiles import PROJECT, Builder, files, owner, place
from imagefiles import TestImage, layer, link, member

from branchpoint.errors import ImageError


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    return Builder(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY a.txt /new", {"new": b"A"}),
        ("COPY a.txt /new/", {"new/a.txt": b"A"}),
        ("COPY a.txt new", {"srv/new": b"A"}),
        ("COPY a.txt .", {"srv/a.txt": b"A"}),
        ("COPY ./a.txt ../b.txt /new/x/", {"new/x/a.txt": b"A", "new/x/b.txt": b"B"}),
        ("COPY *.txt /new/", {"new/a.txt": b"A", "new/b.txt": b"B"}),
        ("COPY [bc].* ./", {"srv/b.txt": b"B", "srv/c.md": b"C"}),
        ("COPY s?c/m* /new", {"new": b"main"}),
        ("COPY src /new", {"new/main.c": b"main", "new/sub/x": b"X", "new/[odd]": b"odd"}),
        ("COPY src/ /srv", {"srv/main.c": b"main", "srv/sub/x": b"X", "srv/[odd]": b"odd"}),
        ("COPY src/* /new/", {"new/main.c": b"main", "new/x": b"X", "new/[odd]": b"odd"}),
        ("COPY src/[[]odd] /new/", {"new/[odd]": b"odd"}),
        ('COPY ["c.md", "a.txt", "/a dir/"]', {"a dir/c.md": b"C", "a dir/a.txt": b"A"}),
        ("COPY a.txt /lib/a", {"usr/lib/a": b"A"}),
        ("COPY a.txt /lib", {"usr/lib/a.txt": b"A"}),
        ("COPY a.txt /there", {"there": b"A"}),
        ("COPY .git /git", {"git/HEAD": b"head"}),
        ("COPY <<one <<'two' /new/\n$FROM_BASE\\$\none\n$x\n'\ntwo",
         {"new/one": b"1$\n", "new/two": b"$x\n'\n"}),
        ("COPY <<one /new\n\"a\" \\.php\n\\\n\\\\ \\$x\none", {"new": b"\"a\" .php\n\n\\ $x\n"}),
        ("COPY --exclude=*.txt . /new", {"new/c.md": b"C", "new/src/main.c": b"main",
                                         "new/src/sub/x": b"X", "new/src/[odd]": b"odd",
                                         "new/Dockerfile": None, "new/base.tar": None,
                                         "new/compose.yaml": None}),
        ("COPY --exclude=sub --exclude=m* src /new", {"new/[odd]": b"odd"}),
        ("COPY --exclude=** --exclude=!main.c src /new", {"new/main.c": b"main"}),
        ("COPY --exclude=b.* *.txt /new/", {"new/a.txt": b"A"}),
        ("COPY --parents a.txt src/sub/x /new/", {"new/a.txt": b"A", "new/src/sub/x": b"X"}),
        ("COPY --parents src/sub /new/", {"new/src/sub/x": b"X"}),
        ("COPY --parents ./src/./sub/x ./src/./main.c /new/", {"new/sub/x": b"X",
                                                               "new/main.c": b"main"}),
        ("COPY --parents s*/./m*.c /new/", {"new/main.c": b"main"}),
        ("ADD a.txt src /new/", {"new/a.txt": b"A", "new/main.c": b"main", "new/sub/x": b"X",
                                 "new/[odd]": b"odd"}),
    ],
)  # fmt: skip
def test_copying(build: Builder, line: str, expected: dict[str, bytes | None]) -> None:
    before = files(build("FROM base").unpack())
    after = files(build(f"FROM base\n{line}", **PROJECT).unpack())
    added = {path: data for path, data in after.items() if before.get(path) != data}
    anything = {path for path, data in expected.items() if data is None}
    assert {path: None if path in anything else data for path, data in added.items()} == expected


def test_owners_and_modes(build: Builder, tmp_path: Path) -> None:
    text = """\
FROM base
COPY a.txt src /plain/
COPY --chown=app a.txt /named/a
COPY --chown=1000 a.txt /number
COPY --chown=12:adm --chmod=4750 src /srv/both
COPY --chown=12 --chmod=700 src /srv/
COPY --from=base /usr/lib/tool /kept
COPY --from=base --chown=0:0 /usr/lib/tool /taken
"""
    build("FROM base", **PROJECT)
    (tmp_path / "project/src/main.c").chmod(0o711)
    (tmp_path / "project/a.txt").chmod(0o600)
    tree = build(text).unpack()
    assert owner(tree, "plain/a.txt") == (0o644, 0, 0)  # as in every checkout
    assert owner(tree, "plain/main.c") == (0o755, 0, 0)
    assert owner(tree, "named") == (0o755, 1000, 1001)
    assert owner(tree, "named/a") == (0o644, 1000, 1001)
    assert owner(tree, "number") == (0o644, 1000, 1000)
    assert owner(tree, "srv") == (0o750, 5, 0)  # it was there
    assert owner(tree, "srv/sub") == (0o700, 12, 12)
    for path in ("srv/both", "srv/both/main.c", "srv/both/sub/x"):
        assert owner(tree, path) == (0o4750, 12, 4)
    assert owner(tree, "kept") == (0o755, 7, 8)
    assert owner(tree, "taken") == (0o755, 0, 0)


def test_links(build: Builder, tmp_path: Path) -> None:
    inside = {"to-file": Path("a.txt"), "to-dir": Path("src"), "src": {"out": Path("/etc/passwd")}}
    tree = build("FROM base\nCOPY to-file to-dir /new/", **(PROJECT | inside)).unpack()
    assert tree.read("new/to-file") == b"A"  # what is named is followed
    out = tree.get("new/out", follow=False)
    assert out is not None and out.target == "/etc/passwd"  # what lies in a directory is not
    with pytest.raises(ImageError, match=r"Dockerfile:2: .*leads out of the context"):
        build("FROM base\nCOPY src/out /x")
    outside = tmp_path / "outside"
    place(outside, {"f": "secret"})
    place(tmp_path / "project/way", Path("../outside"))
    for line in ("COPY way/f /x", "COPY way/* /x", "COPY way /x", "ADD w*/f /x"):
        with pytest.raises(ImageError, match=r"Dockerfile:2: .*leads out of the context"):
            build(f"FROM base\n{line}")


def test_links_of_an_image_stay_in_it(build: Builder) -> None:
    host = Path("/etc/hostname")
    assert host.exists()
    base = TestImage([layer(member("d"), link("d/up", "../../../../.."), link("d/h", str(host)))])
    for source in ("/d/h", f"/d/up{host}", f"../../..{host}"):
        image = build(f"FROM scratch\nCOPY --from=base {source} /x", base)
        with pytest.raises(ImageError, match=r'Dockerfile:2: there is no ".*" in base'):
            image.unpack()


IGNORE = """\
# a comment
*
!src/**
src/sub
!/src/sub/x
**/*.c
"""


def test_what_is_ignored(build: Builder, tmp_path: Path) -> None:
    project = {**PROJECT, ".dockerignore": IGNORE}
    before = files(build("FROM base").unpack())
    for line, expected in (
        ("COPY . /new", {"new/src/sub/x", "new/src/[odd]"}),
        ("COPY src /new", {"new/sub/x", "new/[odd]"}),
        ("COPY src/s* /new/", {"new/x"}),
    ):
        after = files(build(f"FROM base\n{line}", **project).unpack())
        assert after.keys() - before.keys() == expected
    with pytest.raises(
        ImageError, match=r"Dockerfile:2: there is no \"a.txt\"(.|\n)*\.dockerignore"
    ):
        build("FROM base\nCOPY a.txt /")
    (tmp_path / "project/Dockerfile.dockerignore").write_text("src\n")
    assert "a.txt" in files(build("FROM base\nCOPY . /").unpack())
    (tmp_path / "project/Dockerfile.dockerignore").write_text("a\n!\n")
    with pytest.raises(ImageError, match=r"Dockerfile\.dockerignore:2: \"!\" needs a pattern"):
        build("FROM base\nCOPY . /")


def archive(mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for info, data in (member("d", mode=0o700), member("d/f", b"F", uid=9), link("l", "d/f")):
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_add_unpacks_archives(build: Builder, mode: str) -> None:
    data = archive(mode)
    tree = build("FROM base\nADD x.bin /new\nCOPY x.bin /as-it-is", **{"x.bin": data}).unpack()
    assert tree.read("new/l") == b"F"
    assert owner(tree, "new/d/f") == (0o644, 9, 0)
    assert owner(tree, "new/d") == (0o700, 0, 0)
    assert tree.read("as-it-is") == data


def test_add_copies_what_is_no_archive(build: Builder) -> None:
    broken = archive("w:gz")[:20] + b"x" * 50
    project = {"g": broken, "bz": b"BZh9 is how it begins", "empty": b"", "zeros": bytes(10240)}
    tree = build("FROM base\nADD g bz empty zeros /new/", **project).unpack()
    assert {name: tree.read(f"new/{name}") for name in project} == project

"""Images of Dockerfiles without RUN: stages, variables, settings, and what COPY and ADD do."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from imagefiles import TestImage, layer, link, member

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle.oci import process_of
from branchpoint.system.compose.reading import load
from branchpoint.system.images import configuring
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile import reading
from branchpoint.system.images.dockerfile.running import Job
from branchpoint.system.images.dockerfile.syntax import parse
from branchpoint.system.images.finding import Image, find_images
from branchpoint.system.model import Healthcheck

PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/srv/app:/bin/sh\n"
GROUP = b"root:x:0:\napp:x:1001:\nadm:x:4:app\n"
BASE = TestImage(
    [
        layer(
            member("etc"), member("etc/passwd", PASSWD), member("etc/group", GROUP),
            member("srv", mode=0o750, uid=5), member("usr"), member("usr/lib"),
            member("usr/lib/tool", b"tool", mode=0o755, uid=7, gid=8), link("lib", "usr/lib"),
            link("usr/lib/link", "/usr/lib/tool"), member("there", b"a file"),
        )
    ],
    {"Env": ["PATH=/bin", "FROM_BASE=1"], "Cmd": ["base"], "WorkingDir": "/srv", "User": "app"},
)  # fmt: skip
SECOND = 10**9


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))  # where no docker is


Build = Callable[..., Image]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds a Dockerfile in a compose file of its own, with files of the project."""

    def built(text: str, base: TestImage = BASE, more: str = "", **files: Any) -> Image:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        base.docker(folder / "base.tar")
        (folder / "Dockerfile").write_text(text)
        for name, content in files.items():
            place(folder / name, content)
        body = f"services:\n  a:\n    build:\n      context: .\n{more}"
        (folder / "compose.yaml").write_text(body + "x-branchpoint: {images: {base: ./base.tar}}\n")
        return find_images(load(folder, environ={}))["a"]

    return built


def place(path: Path, content: Any) -> None:
    """Write a file, a directory (dict) or a link (Path) of the project."""
    if isinstance(content, dict):
        path.mkdir(exist_ok=True)
        for name, inside in content.items():
            place(path / name, inside)
    elif isinstance(content, Path):
        path.symlink_to(content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def files(tree: Tree) -> dict[str, bytes]:
    return {path: tree.read(path) for path, node in tree.walk() if node.is_file}


def owner(tree: Tree, path: str) -> tuple[int, int, int]:
    node = tree.get(path)
    assert node is not None
    return stat.S_IMODE(node.mode), node.uid, node.gid


# -- settings


def test_a_base_keeps_its_settings(build: Build) -> None:
    image = build("FROM base\nUSER root\n")
    assert image.config == ImageConfig(
        environment=("PATH=/bin", "FROM_BASE=1"), command=("base",), working_dir="/srv", user="root"
    )
    assert files(image.unpack())["usr/lib/tool"] == b"tool"
    root = image.unpack().get("srv")
    assert root is not None and root.uid == 5
    assert image.name == "project-a"
    assert image.id != BASE.id


def test_settings(build: Build) -> None:
    image = build(
        r"""
FROM base
ARG given=1 other=2
ENV A="a b" B=$given C='$B' \
    D=$A
ENV A=later E=$A$B
ENV old  form 'of' it
WORKDIR app/$given
WORKDIR ../x/
EXPOSE 80 443/tcp $given-9/udp
LABEL a="b c" d=e
MAINTAINER nobody
VOLUME /data /$given
VOLUME ["/more space", "/data"]
USER 12:adm
STOPSIGNAL SIGQUIT
SHELL ["/bin/bash", "-euc"]
CMD run $A
ENTRYPOINT ["/init", "$A"]
HEALTHCHECK --interval=1m30s --timeout=2s --retries=4 --start-period=0s CMD curl -f $A || exit 1
"""
    )
    config = image.config
    assert dict(entry.partition("=")[::2] for entry in config.environment) == {
        "PATH": "/bin", "FROM_BASE": "1", "A": "later", "B": "1", "C": "$B", "D": "", "E": "a b1",
        "old": "form of it",
    }  # fmt: skip
    assert config.working_dir == "/srv/app/x"
    assert config.volumes == ("/1", "/data", "/more space")
    assert (config.user, config.stop_signal) == ("12:adm", "SIGQUIT")
    assert config.entrypoint == ("/init", "$A")
    assert config.command == ("/bin/bash", "-euc", "run $A")
    assert config.healthcheck == Healthcheck(
        ("CMD-SHELL", "curl -f $A || exit 1"), 90 * SECOND, 2 * SECOND, 4
    )
    tree = image.unpack()
    assert owner(tree, "srv/app/1") == (0o755, 1000, 1001)  # as WORKDIR makes it for USER
    assert owner(tree, "srv") == (0o750, 5, 0)


def test_an_entrypoint_resets_the_command_of_the_base_only(build: Build) -> None:
    assert build('FROM base\nENTRYPOINT ["e"]').config.command == ()
    config = build('FROM base\nCMD ["c"]\nENTRYPOINT e').config
    assert (config.entrypoint, config.command) == (("/bin/sh", "-c", "e"), ("c",))
    config = build('FROM base AS x\nCMD ["c"]\nFROM x\nENTRYPOINT ["e"]').config
    assert config.command == ()


def test_health_checks(build: Build) -> None:
    base = TestImage(BASE.layers, {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}})
    assert build("FROM base\nUSER root", base).config.healthcheck == Healthcheck(("CMD", "x"), 5)
    none = build("FROM base\nHEALTHCHECK NONE", base)
    assert none.config.healthcheck == Healthcheck(("NONE",), disabled=True)
    listed = build('FROM base\nHEALTHCHECK CMD ["a", "b"]', base)
    assert listed.config.healthcheck == Healthcheck(("CMD", "a", "b"))


def test_a_service_starts_as_with_docker(build: Build, tmp_path: Path) -> None:
    image = build('FROM base\nENV X=1\nUSER app\nENTRYPOINT ["e"]\nCMD ["c"]\nHEALTHCHECK CMD h')
    system = load(tmp_path / "project", environ={})
    (container,) = system.containers
    process = process_of(system.services["a"], container, image.config, image.unpack())
    assert process.args == ("e", "c")
    assert {"PATH=/bin", "X=1", "HOME=/srv/app"} <= set(process.environment)
    assert (process.identity.uid, process.identity.groups) == (1000, (4,))
    assert process.healthcheck is not None
    assert process.healthcheck.test == ("/bin/sh", "-c", "h")


def test_names_that_are_no_text(build: Build, tmp_path: Path) -> None:
    build("FROM base", src={})
    (tmp_path / "project/src" / os.fsdecode(b"\xff")).write_text("x")
    text = 'FROM base\nARG A\nENV A=$A\nCOPY src/* /new/\nLABEL a="["\nCMD ["\\ud800"]'
    image = build(text, more='      args: {A: "\\xff"}\n')
    assert image.unpack().read(os.fsdecode(b"new/\xff")) == b"x"


def test_from_scratch(build: Build) -> None:
    image = build("FROM scratch\nENV X=$PATH:/x\nCOPY a /\n", a="A")
    assert image.config.working_dir == "/"
    assert "X=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/x" in (
        image.config.environment
    )
    assert files(image.unpack()) == {"a": b"A"}


# -- RUN


def job(line: str, **config: Any) -> Job:
    return reading.job(parse(line, "D")[0], ImageConfig(**config), {"ARG": "a", "BOTH": "arg"})


@pytest.mark.parametrize(
    ("line", "args"),
    [
        ("RUN a '$b'", ("/bin/sh", "-c", "a '$b'")),
        ('RUN ["a", "$b"]', ("a", "$b")),
        ("RUN <<EOF\na\nb\nEOF", ("/bin/sh", "-c", "a\nb\n")),
        ("RUN cat <<EOF > x\na\nEOF", ("/bin/sh", "-c", "cat <<EOF > x\na\nEOF")),
        ("RUN <<s.py\n#!/bin/python\ns.py", ("/bin/sh", "-c", "/dev/pipes/s.py")),
    ],
)
def test_what_run_starts(line: str, args: tuple[str, ...]) -> None:
    assert job(line).args == args
    if args[0] == "/bin/sh":
        assert job(line, shell=("bash", "-e")).args == ("bash", "-e", args[2])


def test_what_run_sees(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """\
FROM base AS facts
COPY a.txt /facts/
FROM base
ARG ARG=a BOTH=arg
ENV BOTH=env
USER 12
RUN --mount=type=cache,id=c,target=/c,uid=12 --mount=type=tmpfs,dst=t/,size=1m --network=none \
    --mount=src=src,target=in --mount=type=bind,from=facts,target=/from,source=/facts,ro x
"""
    monkeypatch.setattr("branchpoint.guest.workshop.fingerprint", lambda: "machine")
    seen: list[tuple[dict[str, Any], dict[str, bytes]]] = []

    def change(tree: Tree, script: str, extra: Tree, *others: object) -> None:
        seen.append((json.loads(script), files(extra)))

    monkeypatch.setattr(configuring, "change", change)
    image = build(text, **PROJECT)
    image.unpack()
    ((config, extra),) = seen
    process = config["process"]
    assert (process["args"], process["cwd"]) == (["/bin/sh", "-c", "x"], "/srv")
    assert process["user"] == {"uid": 12, "gid": 0, "additionalGids": []}
    assert {"ARG=a", "BOTH=env", "FROM_BASE=1", "HOME=/"} <= set(process["env"])
    mounts = {mount["destination"]: mount for mount in config["mounts"]}
    assert {"mode=755", "uid=12", "exec"} <= set(mounts["/c"]["options"])
    assert f"size={1 << 20}" in mounts["/srv/t"]["options"]
    assert mounts["/srv/in"]["source"] == "/system/extra/binds/0"
    assert "ro" in mounts["/srv/in"]["options"]
    assert mounts["/from"]["source"] == "/system/extra/binds/1"
    assert extra == {
        "binds/0/[odd]": b"odd", "binds/0/main.c": b"main", "binds/0/sub/x": b"X",
        "binds/1/a.txt": b"A",
    }  # fmt: skip
    assert build(text, src={"main.c": "other"}).id != image.id


# -- variables and stages


def test_the_scope_of_arguments(build: Build) -> None:
    text = """\
ARG NAME=base
ARG GIVEN=default
ARG UNSEEN=x
FROM ${NAME} AS first
ARG GIVEN
ARG WITH=$GIVEN
ARG NONE
ENV a=$GIVEN b=$UNSEEN c=$WITH d=${NONE-unset} e=$TARGETARCH
ARG TARGETARCH
ENV f=$TARGETARCH FROM_BASE=env
ARG FROM_BASE=arg
ENV g=$FROM_BASE
FROM first
ENV h=$GIVEN
FROM base
ENV i=$GIVEN
"""
    more = "      target: '1'\n      args: {GIVEN: given, WITH: with, USELESS: x}\n"
    environment = build(text, more=more).config.environment
    assert environment[1:] == (
        "FROM_BASE=env", "a=given", "b=", "c=with", "d=unset", "e=", "f=amd64", "g=env", "h=given",
    )  # fmt: skip
    assert build(text).config.environment[-1] == "i="


def test_stages(build: Build) -> None:
    text = """\
FROM base AS Make
WORKDIR /out
COPY a x/a
FROM unknown:image AS unused
RUN false
FROM --platform=$BUILDPLATFORM make
COPY b .
FROM scratch
COPY --from=MAKE /out/ /from-name
COPY --from=2 /out/b /from-number/
COPY --from=base /usr/lib/link /lib/[^x]i* /from-image/
"""
    assert files(build(text, a="A", b="B").unpack()) == {
        "from-name/x/a": b"A", "from-number/b": b"B", "from-image/link": b"tool",
    }  # fmt: skip


def test_stages_are_chosen_by_target(build: Build) -> None:
    text = "FROM base AS one\nENV X=1\nFROM base AS two\nENV X=2\n"
    assert build(text, more="      target: ONE\n").config.environment[-1] == "X=1"
    with pytest.raises(ImageError, match=r'has no stage "three"\n.* one, two'):
        build(text, more="      target: three\n")


def test_triggers_of_a_base(build: Build) -> None:
    base = TestImage(BASE.layers, {"OnBuild": ["COPY a /a", "ENV X=trigger"]})
    image = build("FROM base\nENV Y=$X\nONBUILD ENV Z=1", base, a="A")
    assert image.config.environment[-2:] == ("X=trigger", "Y=trigger")
    assert image.config.triggers == ("ENV Z=1",)
    assert image.unpack().read("a") == b"A"
    wrong = TestImage(BASE.layers, {"OnBuild": ["COPPY a /a"]})
    with pytest.raises(
        ImageError, match=r'Dockerfile:1: ONBUILD COPPY a /a of the base: .*"COPPY"'
    ):
        build("FROM base", wrong)


def test_bases_in_the_same_compose_file(tmp_path: Path) -> None:
    BASE.docker(tmp_path / "base.tar")
    body = """
services:
  app:
    build: {context: ., dockerfile_inline: "FROM our/base\\nCOPY --from=lower:2 /made /app"}
  tool:
    image: our/base:latest
    build: {context: ., dockerfile_inline: "FROM docker.io/library/lower:2\\nENV X=tool"}
    scale: 0
  same: {image: our/base}
  lower:
    image: lower:2
    build: {context: ., dockerfile_inline: "FROM ./base.tar\\nCOPY compose.yaml /made"}
    scale: 0
"""
    (tmp_path / "compose.yaml").write_text(body)
    images = find_images(load(tmp_path, environ={}))
    assert images.keys() == {"app", "same"}
    assert "X=tool" in images["same"].config.environment
    image = images["app"]
    assert "X=tool" in image.config.environment
    tree = image.unpack()
    assert tree.read("app") == tree.read("made") == body.encode()
    circle = body.replace("FROM ./base.tar", "FROM our/base")
    (tmp_path / "compose.yaml").write_text(circle)
    with pytest.raises(ImageError, match=r"made of each other: app -> tool -> lower -> tool"):
        find_images(load(tmp_path, environ={}))


# -- COPY and ADD


PROJECT = {
    "a.txt": "A", "b.txt": "B", "c.md": "C",
    "src": {"main.c": "main", "sub": {"x": "X"}, "[odd]": "odd"},
    ".git": {"HEAD": "head"},
}  # fmt: skip


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
        ("COPY <<one /new\n\"a\" \\n\none", {"new": b"\"a\" \\n\n"}),
        ("ADD a.txt src /new/", {"new/a.txt": b"A", "new/main.c": b"main", "new/sub/x": b"X",
                                 "new/[odd]": b"odd"}),
    ],
)  # fmt: skip
def test_copying(build: Build, line: str, expected: dict[str, bytes]) -> None:
    before = files(build("FROM base").unpack())
    after = files(build(f"FROM base\n{line}", **PROJECT).unpack())
    assert {path: data for path, data in after.items() if before.get(path) != data} == expected


def test_owners_and_modes(build: Build, tmp_path: Path) -> None:
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


def test_links(build: Build, tmp_path: Path) -> None:
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


def test_links_of_an_image_stay_in_it(build: Build) -> None:
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


def test_what_is_ignored(build: Build, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_add_unpacks_archives(build: Build, mode: str) -> None:
    data = archive(mode)
    tree = build("FROM base\nADD x.bin /new\nCOPY x.bin /as-it-is", **{"x.bin": data}).unpack()
    assert tree.read("new/l") == b"F"
    assert owner(tree, "new/d/f") == (0o644, 9, 0)
    assert owner(tree, "new/d") == (0o700, 0, 0)
    assert tree.read("as-it-is") == data


def test_add_copies_what_is_no_archive(build: Build) -> None:
    broken = archive("w:gz")[:20] + b"x" * 50
    project = {"g": broken, "empty": b"", "zeros": bytes(10240)}
    tree = build("FROM base\nADD g empty zeros /new/", **project).unpack()
    assert {name: tree.read(f"new/{name}") for name in project} == project


# -- ids


def test_the_id_tells_what_is_in_the_image(build: Build, tmp_path: Path) -> None:
    text = "FROM base AS x\nCOPY a.txt /\nFROM scratch\nCOPY --from=x /a.txt /\nENV a=b\n"
    first = build(text, **PROJECT)
    assert build(f"# a comment\n\n{text}").id == first.id
    os.utime(tmp_path / "project/a.txt", (1, 1))
    assert build(text).id == first.id
    elsewhere = shutil.copytree(tmp_path / "project", tmp_path / "elsewhere", symlinks=True)
    assert find_images(load(elsewhere, environ={}))["a"].id == first.id
    ids = {
        first.id,
        build(text, **{"a.txt": "other"}).id,
        build(text.replace("a=b", "a=c")).id,
        build(text.replace("COPY a.txt /", "COPY a.txt /b")).id,
        build(text, base=TestImage([*BASE.layers, layer(member("more", b""))], BASE.run)).id,
    }
    assert len(ids) == 5

"""Images of Dockerfiles: settings, what RUN starts, variables, stages, ids."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from dockerfiles import BASE, PROJECT, Builder, files, owner
from imagefiles import TestImage, layer, member

from branchpoint.errors import BranchpointError, ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle.oci import process_of
from branchpoint.system.compose.reading import load
from branchpoint.system.images import configuring
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile import reading
from branchpoint.system.images.dockerfile.running import Job
from branchpoint.system.images.dockerfile.syntax import parse
from branchpoint.system.images.finding import find_images
from branchpoint.system.model import Healthcheck

SECOND = 10**9


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    return Builder(tmp_path, monkeypatch)


# -- settings


def test_a_base_keeps_its_settings(build: Builder) -> None:
    image = build("FROM base\nUSER root\n")
    assert image.config == ImageConfig(
        environment=("PATH=/bin", "FROM_BASE=1"), command=("base",), working_dir="/srv", user="root"
    )
    assert files(image.unpack())["usr/lib/tool"] == b"tool"
    root = image.unpack().get("srv")
    assert root is not None and root.uid == 5
    assert image.name == "project-a"
    assert image.id != BASE.id


def test_settings(build: Builder) -> None:
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


def test_an_entrypoint_resets_the_command_of_the_base_only(build: Builder) -> None:
    assert build('FROM base\nENTRYPOINT ["e"]').config.command == ()
    config = build('FROM base\nCMD ["c"]\nENTRYPOINT e').config
    assert (config.entrypoint, config.command) == (("/bin/sh", "-c", "e"), ("c",))
    config = build('FROM base AS x\nCMD ["c"]\nFROM x\nENTRYPOINT ["e"]').config
    assert config.command == ()


def test_health_checks(build: Builder) -> None:
    base = TestImage(BASE.layers, {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}})
    assert build("FROM base\nUSER root", base).config.healthcheck == Healthcheck(("CMD", "x"), 5)
    none = build("FROM base\nHEALTHCHECK NONE", base)
    assert none.config.healthcheck == Healthcheck(("NONE",), disabled=True)
    listed = build('FROM base\nHEALTHCHECK CMD ["a", "b"]', base)
    assert listed.config.healthcheck == Healthcheck(("CMD", "a", "b"))


def test_a_service_starts_as_with_docker(build: Builder, tmp_path: Path) -> None:
    image = build('FROM base\nENV X=1\nUSER app\nENTRYPOINT ["e"]\nCMD ["c"]\nHEALTHCHECK CMD h')
    system = load(tmp_path / "project", environ={})
    (container,) = system.containers
    process = process_of(system.services["a"], container, image.config, image.unpack())
    assert process.args == ("e", "c")
    assert {"PATH=/bin", "X=1", "HOME=/srv/app"} <= set(process.environment)
    assert (process.identity.uid, process.identity.groups) == (1000, (4,))
    assert process.healthcheck is not None
    assert process.healthcheck.test == ("/bin/sh", "-c", "h")


def test_names_that_are_no_text(build: Builder, tmp_path: Path) -> None:
    build("FROM base", src={})
    (tmp_path / "project/src" / os.fsdecode(b"\xff")).write_text("x")
    text = 'FROM base\nARG A\nENV A=$A\nCOPY src/* /new/\nLABEL a="["\nCMD ["\\ud800"]'
    image = build(text, more='      args: {A: "\\xff"}\n')
    assert image.unpack().read(os.fsdecode(b"new/\xff")) == b"x"


def test_from_scratch(build: Builder) -> None:
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


def test_what_run_sees(build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr("branchpoint.guest.workshop.fingerprint", lambda enter: enter.name)
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
    changed = {"enter.sh": "enter.sh", "contain.sh": "another"}  # what starts the process of a RUN
    monkeypatch.setattr("branchpoint.guest.workshop.fingerprint", lambda enter: changed[enter.name])
    assert build(text, **PROJECT).id != image.id


# -- variables and stages


def test_the_scope_of_arguments(build: Builder) -> None:
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
        "FROM_BASE=env", "a=given", "b=", "c=with", "d=unset", "e=", "f=amd64", "g=arg", "h=given",
    )  # fmt: skip
    assert build(text).config.environment[-1] == "i="


def test_stages(build: Builder) -> None:
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


def test_stages_are_chosen_by_target(build: Builder) -> None:
    text = "FROM base AS one\nENV X=1\nFROM base AS two\nENV X=2\n"
    assert build(text, more="      target: ONE\n").config.environment[-1] == "X=1"
    with pytest.raises(ImageError, match=r'has no stage "three"\n.* one, two'):
        build(text, more="      target: three\n")


def test_triggers_of_a_base(build: Builder) -> None:
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


def test_named_contexts(tmp_path: Path) -> None:
    """A directory, an image of the file and a service; each means more than a stage so called."""
    BASE.docker(tmp_path / "base.tar")
    for folder, text in (("here", "H"), ("docs", "D")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(text)
    body = """
services:
  app:
    build:
      context: here
      additional_contexts: {docs: ./docs, tools: "docker-image://our/tool", other: "service:lower"}
      dockerfile_inline: |
        FROM scratch AS docs
        COPY a.txt /wrong.txt
        FROM tools
        COPY a.txt /
        COPY --from=docs a.txt /docs.txt
        COPY --from=other /made /
  tool: {image: our/tool, build: {dockerfile_inline: "FROM ./base.tar\\nENV X=tool"}, scale: 0}
  lower: {build: {dockerfile_inline: "FROM scratch\\nCOPY compose.yaml /made"}, scale: 0}
"""
    (tmp_path / "compose.yaml").write_text(body)
    image = find_images(load(tmp_path, environ={}))["app"]
    assert "X=tool" in image.config.environment
    tree = image.unpack()
    told = {path: tree.read(path) for path in ("a.txt", "docs.txt", "made")}
    assert told == {"a.txt": b"H", "docs.txt": b"D", "made": body.encode()}
    assert tree.get("wrong.txt") is None
    (tmp_path / "docs" / "a.txt").write_text("another")
    assert find_images(load(tmp_path, environ={}))["app"].id != image.id
    for wrong, said in (
        ("service:no", r'no service "no", which "additional_contexts" names'),
        ("./no", r"compose\.yaml:6: there is no directory .*/no"),
        ("https://example.org/x.git", "is not a local directory"),
    ):
        (tmp_path / "compose.yaml").write_text(body.replace("service:lower", wrong))
        with pytest.raises(BranchpointError, match=said):
            find_images(load(tmp_path, environ={}))
    (tmp_path / "compose.yaml").write_text(body.replace("FROM tools", "FROM docs"))
    with pytest.raises(ImageError, match="FROM docs is a directory of additional_contexts"):
        find_images(load(tmp_path, environ={}))


def test_secrets_are_seen_by_the_run_that_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BASE.docker(tmp_path / "base.tar")
    (tmp_path / "key").write_text("of the file")
    body = """
services:
  app:
    build:
      secrets: [key, {source: word, target: pass}]
      dockerfile_inline: |
        FROM ./base.tar
        RUN --mount=type=secret,id=key,uid=12,mode=0440 \\
            --mount=type=secret,id=pass,env=PASS \\
            --mount=type=secret,id=key,target=.key --mount=type=secret,id=nobody x
secrets: {key: {file: ./key}, word: {environment: WORD}}
"""
    (tmp_path / "compose.yaml").write_text(body)
    monkeypatch.setattr("branchpoint.guest.workshop.fingerprint", lambda enter: enter.name)
    seen: list[tuple[dict[str, Any], dict[str, bytes], Tree]] = []

    def change(tree: Tree, script: str, extra: Tree, *others: object) -> None:
        seen.append((json.loads(script), files(extra), extra))
        tree.add_file("run/secrets/key", b"")  # as the runtime makes it, to mount something there

    monkeypatch.setattr(configuring, "change", change)
    image = find_images(load(tmp_path, environ={"WORD": "open"}))["app"]
    tree = image.unpack()
    ((config, extra, whole),) = seen
    assert extra == {"binds/0": b"of the file", "binds/1": b"of the file"}
    mounts = {mount["destination"]: mount["source"] for mount in config["mounts"]}
    assert mounts["/run/secrets/key"] == "/system/extra/binds/0"
    assert mounts["/srv/.key"] == "/system/extra/binds/1"
    node = whole.get("binds/0")
    assert node is not None and (node.uid, node.mode & 0o7777) == (12, 0o440)
    assert "PASS=open" in config["process"]["env"]
    assert "PASS=open" not in image.config.environment
    assert tree.get("run") is None, "nothing of it stays"
    assert find_images(load(tmp_path, environ={"WORD": "other"}))["app"].id != image.id
    (tmp_path / "key").write_bytes(bytes(600 << 10))
    with pytest.raises(ImageError, match="key is larger than 500 KiB"):
        find_images(load(tmp_path, environ={"WORD": "open"}))


# -- ids


def test_the_id_tells_what_is_in_the_image(build: Builder, tmp_path: Path) -> None:
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

"""Dockerfiles that are built in the machine, without docker; a container of one is started."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint.cache import cache_dir
from branchpoint.errors import ImageError
from branchpoint.guest.tree import EPOCH, Tree
from branchpoint.system import load
from branchpoint.system.images import configuring
from branchpoint.system.images.dockerfile import running
from branchpoint.system.images.finding import Image, find_images

COMPOSE = """\
name: made
services:
  tools:
    x-branchpoint-debian: {packages: [tcc, libc6-dev]}
    scale: 0
  app:
    build: {context: ., args: {WHO: games}, secrets: [key]}
secrets: {key: {file: ./key}}
"""
DOCKERFILE = r"""
FROM tools AS build
ARG WHO=nobody
WORKDIR /src
COPY app.c .
RUN tcc -o /app app.c

FROM tools AS facts
COPY --from=build --chown=games /app /facts/
ARG WHO
ENV MADE="by $WHO"
USER ${WHO}:adm
WORKDIR /facts
RUN id > who; pwd > where; env | sort > environment; ls /sys/class/net /dev/pipes > seen 2>&1; \
    date +%s > time; head -c 16 /dev/urandom | od -An -tx1 > random; touch -d @1000 old
RUN --mount=type=cache,target=/cache,uid=5 --mount=source=app.c,target=/given <<EOF
#!/usr/bin/perl
open my $out, ">", "/facts/perl"; print $out "$ENV{MADE}\n", -s "/given", "\n";
open $out, ">", "/cache/x" or die; unlink "/facts/app";
EOF
USER root
RUN --mount=type=secret,id=key,uid=5 stat -c "%u %a %s" /run/secrets/key > secret
RUN ["/bin/bash", "-uec", "[[ ! -e /run/secrets && ! -e app && ! -e /given ]]; chmod 600 perl"]
RUN ls / > ../done

FROM scratch
COPY --from=build /app /bin/app
COPY --from=build /lib64/ld-linux* /lib64/
COPY --from=build /lib/x86_64-linux-gnu/libc.so.? /lib/x86_64-linux-gnu/
COPY --from=facts /facts /done /facts/
USER 5:7
WORKDIR /facts
ENV GREETING=hello
ENTRYPOINT ["app"]
CMD ["serve"]
HEALTHCHECK --interval=1s --start-period=9s --start-interval=200ms CMD ["/bin/app", "check"]
"""
APP = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char cwd[99];
    if (argc == 2 && !strcmp(argv[1], "check"))
        return getuid() != 5 || access("/facts/who", R_OK);
    printf("%s as %d:%d in %s: %s\n", argv[1], getuid(), getgid(), getcwd(cwd, sizeof cwd),
           getenv("GREETING"));
    fflush(stdout);
    for (;;)
        pause();
}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, text in (("compose.yaml", COMPOSE), ("Dockerfile", DOCKERFILE), ("app.c", APP),
                       ("key", "of nobody else")):  # fmt: skip
        (folder / name).write_text(text)
    return folder


def image_of(project: Path) -> Image:
    return find_images(load(project, environ={}))["app"]


def digest(tree: Tree) -> str:
    class Sink:
        def __init__(self) -> None:
            self.hash = hashlib.sha256()

        def write(self, data: bytes) -> None:
            self.hash.update(data)

    sink = Sink()
    tree.write_tar(sink)
    return sink.hash.hexdigest()


@pytest.mark.long
def test_two_builds_are_equal(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(project)
    first = image.unpack()  # so that the cache has the packages
    (tmp_path / "changes").mkdir()
    real = configuring.change
    ran = []

    def anew(tree: Tree, script: str, *others: object) -> None:
        """Scripts of packages come from the cache; what RUN does is done once more."""
        is_run = others[-1] == running.workshop.CONTAINER
        monkeypatch.setattr(configuring, "cache_dir", lambda: tmp_path if is_run else cache_dir())
        ran.append(is_run)
        real(tree, script, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(configuring, "change", anew)
    second = image_of(project).unpack()
    assert ran.count(True) == 6
    assert len(list((tmp_path / "changes").iterdir())) == 6
    assert digest(first) == digest(second)
    image_of(project).unpack()
    assert len(list((tmp_path / "changes").iterdir())) == 6  # and from then on, nothing is run

    def read(name: str) -> str:
        return first.read(f"facts/{name}").decode()

    assert read("who") == "uid=5(games) gid=4(adm) groups=4(adm)\n"
    assert read("where") == "/facts\n"
    assert read("environment").splitlines() == [
        "HOME=/usr/games", "MADE=by games",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/facts",
        "WHO=games",
    ]  # fmt: skip
    assert (
        read("seen")
        == "ls: cannot access '/dev/pipes': No such file or directory\n/sys/class/net:\nlo\n"
    )
    assert EPOCH <= int(read("time")) < EPOCH + 3600
    assert len(read("random").split()) == 16
    assert read("secret") == f"5 400 {len('of nobody else')}\n"
    assert read("perl") == f"by games\n{len(APP)}\n"
    assert not {"given", "cache"} & set(read("done").split())
    perl, old, done = (first.get(f"facts/{name}") for name in ("perl", "old", "done"))
    assert perl is not None and (perl.mode & 0o777, perl.uid, perl.gid) == (0o600, 5, 4)
    assert old is not None and old.mtime == 1000
    assert done is not None and (done.uid, done.mtime) == (0, EPOCH)
    assert sorted(first.root.children) == ["bin", "facts", "lib", "lib64"]
    assert sorted(first.root.children["facts"].children) == [
        "done", "environment", "old", "perl", "random", "secret", "seen", "time", "where", "who"
    ]  # fmt: skip


def test_a_container_starts_as_with_docker(project: Path, tmp_path: Path) -> None:
    with bp.record(project, tmp_path / "r.branchpoint", seed=1, duration=1) as run:
        events = [event for event in run.events if event.container == "app.1"]
        lines = [event.text for event in events if event.type == "log"]
        assert lines == ["serve as 5:7 in /facts: hello"]
        health = [event.fields for event in events if event.type == "container.health"]
        assert health == [{"status": "starting"}, {"status": "healthy"}]


def test_a_run_that_fails(project: Path) -> None:
    failing = project / "Failing"
    failing.write_text(
        "FROM tools\n\nUSER games\nRUN echo starting; \\\n    apt-get install curl\n"
    )
    body = COMPOSE.replace("context: .", "context: ., dockerfile: Failing")
    (project / "failing.yaml").write_text(body)
    with pytest.raises(ImageError) as caught:
        bp.record(project / "failing.yaml", project / "r.branchpoint", duration=1)
    error = caught.value
    assert f'failing.yaml:7: service "app": {failing}:4: RUN echo starting;' in error.message
    assert "ended with code 127, and RUN has no network here; the last that was said:\n" in (
        error.message
    )
    assert "\n    starting\n    /bin/sh: 1: apt-get: not found" in error.message
    assert "x-branchpoint-debian" in error.hint and "docker save" in error.hint

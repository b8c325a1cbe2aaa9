"""What cannot be done in a Dockerfile is an error with file and line, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagefiles import TestImage, layer, link, member

from branchpoint.errors import ImageError
from branchpoint.guest.workshop import Outcome
from branchpoint.system.bundle.layout import system_tree
from branchpoint.system.compose.reading import load
from branchpoint.system.images import configuring
from branchpoint.system.images.finding import find_images

BASE = TestImage([layer(member("d"), member("f", b""), link("broken", "nowhere"))])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without docker, with some files and a base image; no machine is needed."""
    monkeypatch.setattr("branchpoint.guest.workshop.fingerprint", lambda enter: enter.name)
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "project"
    (folder / "dir").mkdir(parents=True)
    for name in ("a", "b", "dir/x"):
        (folder / name).write_text(name)
    (folder / "gone").symlink_to("nowhere")
    BASE.docker(folder / "base.tar")
    (folder / "compose.yaml").write_text(
        "services:\n  a:\n    build: .\nx-branchpoint: {images: {base: ./base.tar}}\n"
    )
    return folder


def error_of(project: Path, text: str | bytes) -> str:
    (project / "Dockerfile").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ImageError) as caught:
        system = load(project, environ={})
        system_tree(system, find_images(system))
    return str(caught.value).replace(f"{project}/", "")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("COPY gone-too /", 'there is no "gone-too" in', "relative to the context"),
        ("COPY x* /", 'there is no "x*" in', ""),
        ("COPY gone /", "gone is a broken link", ""),
        ("COPY a", "COPY needs a source and a target", ""),
        ("COPY ['a', 'b']", "['a', 'b'] is no list in JSON", '["a source"'),
        ("COPY a b /c", "there are several sources, but /c is no directory", "/c/ is"),
        ("COPY [ab] /c", "there are several sources, but /c is no directory", "/c/ is"),
        ("COPY [ /c", '"[" is not a pattern of names', ""),
        ("COPY a /f/a", "/f in the image is a file, not a directory", ""),
        ("COPY a /broken/a", "/broken in the image is a broken link", ""),
        ("COPY dir /f", "/f in the image is a file, not a directory", ""),
        ("COPY --chown=who a /", 'the image has no user "who" in /etc/passwd', ""),
        ("COPY --chown=0:who a /", 'the image has no group "who" in /etc/group', ""),
        ("COPY --chmod=u+x a /", '--chmod must be octal like 755, not "u+x"', ""),
        ("COPY --chmod= a /", "--chmod has no value", ""),
        ("COPY --from=$X a /", "--from cannot be a variable", "FROM $X AS NAME"),
        ("COPY --from=no:1 a /", 'the image "no:1" is not on this computer', "docker pull no:1"),
        ("COPY --from=base /x /", 'there is no "/x" in base', ""),
        ("COPY --from=base --from=x a /", "--from is given twice", ""),
        ("ADD https://example.org/x /", "ADD cannot fetch https://example.org/x", "yourself"),
        ("ADD git@example.org:x.git /", "ADD cannot fetch git@example.org:x.git", ""),
        ("ADD --checksum=x a /", "the flag --checksum of ADD is not supported", ""),
        ("RUN --mount=type=ssh y", "--mount of the type ssh is not supported", "COPY"),
        ("RUN --mount=type=secret y", "--mount=type=secret needs an id", "id=NAME"),
        ("RUN --mount=type=secret,id=x,dst=/$y z", "a target of --mount cannot be a variable", ""),
        ("RUN --mount=type=secret,id=x,mode=9 y", '"mode" in --mount must be a number', ""),
        ("RUN --mount=type=secret,id=x,required y", 'there is no secret "x"', '"secrets"'),
        ("COPY --exclude=[ a.txt /", '--exclude: "[" is not a pattern', ""),
        ("COPY --parents=x a.txt /", '--parents is true or false, not "x"', ""),
        ("RUN --mount=target=/x,rw y", '"rw" in --mount=type=bind is not supported', ""),
        ("RUN --mount=target=/x,source=* y", 'a pattern cannot be mounted: "*"', ""),
        ("RUN --mount=target=/x,source=no y", 'there is no "no" in', ""),
        ("RUN --mount=target=/x,from=no:1 y", 'the image "no:1" is not on', ""),
        ("RUN --mount=target=/x,from=base,source=no y", 'there is no "no" in base', ""),
        ("RUN --mount=type=cache,target=$X y", '--mount needs a target, not "$X"', ""),
        ("RUN --mount=type=cache,target=x,uid=me y", 'must be a number, not "me"', ""),
        ("RUN --network=host x", "--network=host is not supported", "no network here"),
        ("RUN --security=insecure x", "--security=insecure is not supported", ""),
        ("RUN []", "RUN has no command", ""),
        ("SHELL /bin/bash", "SHELL needs a list in JSON", 'SHELL ["/bin/bash", "-c"]'),
        ("USER", "USER needs an argument", ""),
        ("USER a b", 'USER needs one word, not "a b"', ""),
        ("STOPSIGNAL SIGNONE", 'there is no signal "SIGNONE"', ""),
        ("EXPOSE http", '"http" is not a port', 'write "8080"'),
        ("ENV a", "a has no value", "write KEY=VALUE"),
        ("ENV a=b c", '"c" is not of the form KEY=VALUE', ""),
        ("LABEL =b", '"=b" is not of the form', ""),
        ("HEALTHCHECK curl", "HEALTHCHECK needs CMD and a command, or NONE", ""),
        ("HEALTHCHECK --retries=x CMD y", '--retries must be a number, 1 or more, not "x"', ""),
        ("HEALTHCHECK --interval=x CMD y", '--interval must be a duration, not "x"', '"30s"'),
        ("HEALTHCHECK --interval=1s NONE", "HEALTHCHECK NONE takes no more words", ""),
        ("ONBUILD FROM x", "ONBUILD FROM is not allowed", ""),
        ("WORKDIR $none", "WORKDIR $none is empty", ""),
        ("WORKDIR /f", "/f in the image is a file, not a directory", ""),
        ("FROM a b", "FROM is not understood", "FROM IMAGE AS NAME"),
        ("FROM base AS 1st", '"1st" cannot be the name of a stage', ""),
        ("FROM base AS first", 'there are two stages "first"', ""),
        ("FROM ${NONE}", '"${NONE}" is empty', "an ARG before the first FROM"),
        ("FROM --platform=linux/arm64 base", 'the platform "linux/arm64" is not supported', ""),
        ("FROM ./no.tar", "no.tar does not exist", "relative to the compose file"),
    ],
)  # fmt: skip
def test_errors(project: Path, line: str, message: str, hint: str) -> None:
    said = error_of(project, f"FROM base AS first\n\n{line}\n")
    assert said.startswith('compose.yaml:3: service "a": Dockerfile:3: ')
    assert message in said.partition("\n")[0]
    assert hint in said.partition("\n")[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ENV a=b\nFROM base", "Dockerfile:1: ENV stands before the first FROM"),
        ("ARG a=b", "Dockerfile has no FROM"),
        (b"FROM base\nRUN \xff", "Dockerfile:2: is not UTF-8 text"),
        ("FROM base\n" * 201, "Dockerfile:201: there are more than 200 stages"),
        ("FROM base\n" + "USER a\n" * 10_000, "there are more than 10000 instructions"),
        ("#" * (1 << 20) + "\n", "Dockerfile is larger than 1024 KiB"),
    ],
)
def test_errors_of_whole_files(project: Path, text: str | bytes, message: str) -> None:
    assert message in error_of(project, text)


def test_no_dockerfile(project: Path) -> None:
    with pytest.raises(ImageError) as caught:
        find_images(load(project, environ={}))
    assert 'compose.yaml:3: service "a": there is no Dockerfile at' in caught.value.message


def failing(monkeypatch: pytest.MonkeyPatch, *lines: str, code: int = 100) -> None:
    """Let every RUN end with this code and these last words."""

    def change(*arguments: object) -> None:
        raise configuring.Failed(Outcome(code, list(lines)))

    monkeypatch.setattr(configuring, "change", change)


NO_NETWORK = "and RUN has no network here"


@pytest.mark.parametrize(
    ("command", "line", "network"),
    [
        ("apt-get update && apt-get install -y curl", "sh: 1: apt-get: not found", True),
        ("set -e; pip install x", "", True),
        ("/usr/bin/pip3 install x", "", True),
        ('["/usr/bin/env", "curl", "x"]', "", True),
        ("./fetch.sh", "wget: bad address 'example.org'", True),
        ("./fetch.sh", "Temporary failure in name resolution", True),
        ("make gitignore && ./apt-get.sh", "make: *** no rule", False),
        ("false", "", False),
    ],
)
def test_a_run_that_fails_for_want_of_a_network_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, command: str, line: str, network: bool
) -> None:
    failing(monkeypatch, "before", line)
    said = error_of(project, f"FROM base\nRUN {command}")
    assert said.startswith(f'compose.yaml:3: service "a": Dockerfile:2: RUN {command}')
    assert "ended with code 100" in said
    assert f"the last that was said:\n    before\n    {line}" in said
    assert (NO_NETWORK in said) == network
    assert ("x-branchpoint-debian" in said and "docker save" in said) == network

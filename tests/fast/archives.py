"""A Debian archive in a folder, made by a test, and a computer whose apt knows it."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from branchpoint.debian import apt, mirrors
from branchpoint.debian.apt import ARCHITECTURE, SUITE


def build(
    folder: Path,
    name: str,
    version: str = "1.0",
    files: dict[str, bytes] | None = None,
    depends: Sequence[str] = (),
) -> Path:
    """A package file in ``folder``."""
    root = folder / f"root-{name}-{version}"
    (root / "DEBIAN").mkdir(parents=True)
    needs = f"Depends: {', '.join(depends)}\n" if depends else ""
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {ARCHITECTURE}\n"
        f"Maintainer: nobody <nobody@example>\n{needs}Description: made by a test\n"
    )
    for path, data in (files or {f"usr/share/{name}/version": version.encode()}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        (root / path).chmod(0o755 if data.startswith(b"#!") else 0o644)
    made = folder / f"{name}_{version.partition(':')[2] or version}_{ARCHITECTURE}.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", root, made]
    subprocess.run(command, check=True, capture_output=True)
    return made


class Archive:
    """An archive of one release; packages come and go as in a real one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._work = root / "work"
        self._listed: dict[str, str] = {}
        self._work.mkdir(parents=True)
        self.publish()

    def copy(self, root: Path) -> Archive:
        """A copy of its own in another folder."""
        made = object.__new__(Archive)
        made.root = Path(shutil.copytree(self.root, root))
        made._work, made._listed = root / "work", dict(self._listed)
        return made

    def add(
        self,
        name: str,
        version: str = "1.0",
        files: dict[str, bytes] | None = None,
        depends: Sequence[str] = (),
    ) -> Path:
        """Put a package into the pool and into the index, instead of another version of it."""
        made = build(self._work, name, version, files, depends)
        place = self.root / "pool/main" / name[0] / name / made.name
        place.parent.mkdir(parents=True, exist_ok=True)
        made.rename(place)
        data = place.read_bytes()
        control = subprocess.run(
            ["dpkg-deb", "--field", place], check=True, capture_output=True, text=True
        ).stdout
        self._listed[name] = (
            f"{control}Filename: {place.relative_to(self.root)}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
        )
        self.publish()
        return place

    def drop(self, name: str) -> None:
        """Take a package out of the index, not out of the pool."""
        del self._listed[name]
        self.publish()

    def publish(self) -> None:
        """Write the index as it is now."""
        release = self.root / "dists" / SUITE
        index = f"main/binary-{ARCHITECTURE}/Packages"
        (release / index).parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(self._listed.values()).encode()
        (release / index).write_bytes(text)
        (release / "Release").write_text(
            f"Suite: {SUITE}\nCodename: {SUITE}\nArchitectures: {ARCHITECTURE}\nComponents: main\n"
            "Date: Thu, 01 Jan 2026 00:00:00 UTC\n"
            f"SHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} {index}\n"
        )


@contextlib.contextmanager
def served(folder: Path, refusal: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Serve ``folder`` by HTTP on loopback: the address, and the paths that were asked for.

    With a ``refusal`` (an HTTP status) that is all the server ever says.
    """
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            asked.append(self.path)
            if refusal:
                self.send_error(refusal)
            else:
                super().do_GET()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Computer:
    """A computer with an empty cache, whose apt has the mirrors that a test gives it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._sources = folder / "apt"
        self._sources.mkdir(parents=True)
        keyring = folder / "keyring"
        keyring.touch()
        patch.setenv("BRANCHPOINT_CACHE", str(folder / "cache"))
        patch.setattr(mirrors, "SOURCES", self._sources)
        patch.setattr(apt, "_KEYRING", keyring)
        patch.setattr(apt, "_TRUST", "trusted=yes")  # nobody signs an archive of a test

    def use(self, *uris: str | Path) -> None:
        """Let apt know these mirrors only."""
        named = [uri if isinstance(uri, str) else f"file:{uri}" for uri in uris]
        lines = [f"deb {uri} {SUITE} main" for uri in named]
        (self._sources / "sources.list").write_text("\n".join(lines))

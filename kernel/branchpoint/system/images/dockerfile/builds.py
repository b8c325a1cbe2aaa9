"""``build:`` of a compose file -> the stage of a Dockerfile that it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from branchpoint.decoding import Malformed, text
from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.images import projectfiles
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.given import Given
from branchpoint.system.images.dockerfile.stage import Base, Stage
from branchpoint.system.images.dockerfile.stages import Dockerfile
from branchpoint.system.images.dockerfile.syntax import MAX_BYTES
from branchpoint.system.model import Build

_INLINE = "dockerfile_inline"


def names(build: Build) -> list[str]:
    """The images that the Dockerfile begins with or copies from, as its contexts have them.

    :raises ImageError: when it cannot be read.
    """
    found = [build.contexts.get(name, name) for name in _read(build).names(build.contexts)]
    return [name for name in found if not name.startswith("/")]


def planned(build: Build, find: Callable[[str], Base]) -> Stage:
    """The stage, ready to be built. ``find`` gives the image of a name.

    :raises ImageError: with file and line, for whatever cannot be done as written.
    """
    return _read(build).plan(Context(Path(build.context), _path(build)), Given.of(build, find))


def digest(build: Build) -> str:
    """A digest (hex) of the Dockerfile, what it is given, and the files of the project that it
    copies; of all files in the context, where only an engine could say which. It is of no image, so
    nothing has to be there or to be built.

    :raises ImageError: when the Dockerfile or the context cannot be read.
    """
    context = Context(Path(build.context), _path(build))
    dockerfile = _read(build)
    whole = blake3(f"{dockerfile.text}\0{build.target}\0{sorted(build.args.items())}".encode())
    try:
        dockerfile.plan(context, Given.of(build, lambda _: _AnyImage()))
        copied = [found.digest() for found in context.taken]
    except ImageError:
        copied = [projectfiles.digest(Path(build.context))]
    for each in copied:
        whole.update(f"\0{each}".encode("utf-8", "surrogateescape"))
    for name, place in sorted(build.contexts.items()):
        if place.startswith("/"):
            whole.update(f"\0{name}\0{projectfiles.digest(Path(place))}".encode())
    return whole.hexdigest(16)


@dataclass(frozen=True)
class _AnyImage:
    """Stands for each image that a Dockerfile names."""

    id: str = ""
    config: ImageConfig = field(default_factory=ImageConfig)

    @property
    def unpack(self) -> Callable[[], Tree]:
        return Tree


def _path(build: Build) -> Path | None:
    """Where the Dockerfile lies; None when it is written in the compose file."""
    if build.dockerfile_text is not None:
        return None
    return Path(build.context, build.dockerfile or "Dockerfile")


def _read(build: Build) -> Dockerfile:
    path = _path(build)
    if path is None:
        content = build.dockerfile_text or ""
        if len(content) > MAX_BYTES:
            raise ImageError(f"{_INLINE} is larger than {MAX_BYTES >> 10} KiB")
    else:
        content = _text(path)
    return Dockerfile(content, str(path or _INLINE), build.args, build.target or "")


def _text(path: Path) -> str:
    if not path.is_file():
        raise ImageError(
            f"there is no Dockerfile at {path}", 'name it by "dockerfile", relative to "context"'
        )
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        content = text(data)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}") from None
    except Malformed:
        line = _first_bad_line(data)
        raise ImageError(f"{path}:{line}: is not UTF-8 text") from None
    if len(data) > MAX_BYTES:
        raise ImageError(f"{path} is larger than {MAX_BYTES >> 10} KiB")
    return content


def _first_bad_line(data: bytes) -> int:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.decode("utf-8", "replace").encode() != line:
            return number
    return 1

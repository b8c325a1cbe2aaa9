"""Container images as files: docker-archive, OCI, skopeo's ``dir:``; a folder or a tar archive.

Everything here is untrusted. Digests are checked, sizes are bounded, and paths never lead out of
the archive; see also :mod:`tarscan`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from branchpoint import decoding
from branchpoint.cache import cache_dir, disk_errors
from branchpoint.errors import ImageError
from branchpoint.guest.tree import Node, Tree
from branchpoint.system.images.tarscan import Entry, scan
from branchpoint.system.model import Healthcheck

MAX_IMAGE_BYTES = 16 << 30  # of all layers of an image, uncompressed
_MAX_JSON = 8 << 20
_MAX_LAYERS = 512
_MAX_TREE_DEPTH = 200
_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_BLOBS = "blobs/sha256/"  # where an OCI layout has everything, by digest
_TAG = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class ImageConfig:
    """An image's settings for the containers made from it."""

    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = "/"
    user: str = ""
    stop_signal: str = "SIGTERM"
    volumes: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    triggers: tuple[str, ...] = ()  # ONBUILD: instructions for Dockerfiles with it as their base


class _Health(msgspec.Struct, rename="pascal"):
    test: list[str] | None = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class _Run(msgspec.Struct, rename="pascal"):
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    stop_signal: str | None = None
    volumes: dict[str, Any] | None = None
    healthcheck: _Health | None = None
    shell: list[str] | None = None
    on_build: list[str] | None = None


class _RootFs(msgspec.Struct):
    diff_ids: list[str]


class _Config(msgspec.Struct):
    rootfs: _RootFs
    architecture: str = "amd64"
    os: str = "linux"
    config: _Run | None = None


class _DockerManifest(msgspec.Struct, rename="pascal"):
    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class _Descriptor(msgspec.Struct, rename={"media_type": "mediaType"}):
    digest: str
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct):
    manifests: list[_Descriptor]


class _Manifest(msgspec.Struct):
    config: _Descriptor
    layers: list[_Descriptor]


class _Files(Protocol):
    """Named files of an archive."""

    what: str

    def has(self, name: str) -> bool: ...

    def open(self, name: str) -> IO[bytes]: ...


class _Directory:
    """An OCI layout unpacked into a directory; only plain files directly in it are opened."""

    def __init__(self, path: Path) -> None:
        self.what = str(path)
        self._path = path

    def has(self, name: str) -> bool:
        return os.path.isfile(self._path / name)  # noqa: PTH113 - no error for any name

    def open(self, name: str) -> IO[bytes]:
        shown = f"{self.what}: {name[:200]}"
        root = Path(os.path.realpath(self._path))
        if "\0" in name or not Path(os.path.realpath(root / name)).is_relative_to(root):
            raise ImageError(f"{shown} leads out of the image")
        return _open(root / name, shown)


class _Part:
    """A readable window of a seekable file."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file, self._at, self._end = file, offset, offset + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def close(self) -> None:
        """Nothing to do: others still use the file."""

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Archive:
    """The members of a tar archive."""

    def __init__(self, file: IO[bytes], what: str) -> None:
        self.what = what
        self._file = file
        self._entries = {entry.name.removeprefix("./"): entry for entry in scan(file, what)}

    def _find(self, name: str) -> Entry | None:
        entry = self._entries.get(name)
        if entry is not None and entry.kind == "link":  # old docker links a layer that occurs twice
            parts = name.split("/")[:-1]
            for part in entry.target.split("/"):
                parts = parts[:-1] if part == ".." else [*parts, part]
            entry = self._entries.get("/".join(parts))
        return entry if entry is not None and entry.kind == "file" else None

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def open(self, name: str) -> IO[bytes]:
        entry = self._find(name)
        if entry is None:
            raise ImageError(f"{self.what} lacks {name}")
        return _Part(self._file, entry.offset, entry.size)  # type: ignore[return-value]


class ImageArchive:
    """One image of an archive: ``id`` and ``config`` at once, its files with :meth:`unpack`."""

    def __init__(self, files: _Files, config: bytes, layers: list[str]) -> None:
        parsed = _decode(config, _Config, f"{files.what}: the image's configuration")
        if (parsed.os, parsed.architecture) != ("linux", "amd64"):
            raise ImageError(
                f"{files.what} is for {parsed.os}/{parsed.architecture}",
                "the machine is linux/amd64: save the image for that platform",
            )
        if len(layers) != len(parsed.rootfs.diff_ids) or len(layers) > _MAX_LAYERS:
            raise ImageError(f"{files.what}: the layers do not match the configuration")
        self.id = hashlib.sha256(config).hexdigest()
        self.config = _image_config(parsed.config or _Run(), files.what)
        self._files = files
        self._layers = layers
        self._diff_ids = [_hex(diff_id, files.what) for diff_id in parsed.rootfs.diff_ids]

    def unpack(self) -> Tree:
        """All layers merged; each is checked against its digest before it is used.

        :raises ImageError: when a layer is damaged, malformed or too large.
        """
        tree = Tree()
        left = MAX_IMAGE_BYTES
        for name, diff_id in zip(self._layers, self._diff_ids, strict=True):
            what = f"{self._files.what}: layer {diff_id[:12]}"
            with self._files.open(name) as packed, plain(packed, what, left) as layer:
                layer.seek(0)
                if hashlib.file_digest(layer, "sha256").hexdigest() != diff_id:  # type: ignore[arg-type]
                    raise ImageError(f"{what} is damaged: its content does not match its digest")
                left -= layer.seek(0, 2)
                if holes := sum(entry.holes for entry in scan(layer, what, left)):
                    left -= holes
                    expect_room(layer, what, left + holes)
                layer.seek(0)
                try:
                    tree.apply_tar(layer, layer=True)
                except ImageError as error:
                    raise ImageError(f"{what}: {error.message}", error.hint) from None
                check_depth(tree, what)
        return tree


def expect_room(layer: IO[bytes], what: str, room: int) -> None:
    """Refuse a layer with sparse files that have more bytes than there is room for, as the library
    that unpacks them sees it: it reads their headers by itself.

    :raises ImageError: also when it cannot read them.
    """
    layer.seek(0)
    try:
        with tarfile.open(fileobj=layer, mode="r:") as tar:
            for member in tar:
                room -= member.size if member.issparse() else 0
                if room < 0:
                    raise ImageError(f"{what} has sparse files that are too large for it")
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ImageError(f"{what} has a malformed sparse file: {error}") from None


@contextmanager
def open_archive(path: Path, tag: str = "") -> Iterator[ImageArchive]:
    """The image in the directory or archive ``path``, closed when the block ends.

    ``tag`` chooses among several. :raises ImageError: naming ``path``.
    """
    if path.is_dir():
        yield _select(_Directory(path), tag)
        return
    with _open(path, str(path)) as packed:
        compressed = decoding.is_compressed(packed.read(6))
        packed.seek(0)
        if compressed:
            with plain(packed, str(path), MAX_IMAGE_BYTES) as file:
                yield _select(_Archive(file, str(path)), tag)
        else:
            yield _select(_Archive(packed, str(path)), tag)


def _open(path: Path, shown: str) -> IO[bytes]:
    """Open a file; it must be an ordinary one, as reading a pipe could wait for ever."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ImageError(f"{shown} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ImageError(f"{shown} is not an ordinary file")
    return os.fdopen(fd, "rb")


@contextmanager
def plain(packed: IO[bytes], what: str, limit: int) -> Iterator[IO[bytes]]:
    """A temporary file with the uncompressed content of ``packed``.

    :raises ImageError: when it is damaged, or has more than ``limit`` bytes.
    :raises SetupError: when the cache folder cannot be written to.
    """
    directory = cache_dir()
    with contextlib.ExitStack() as open_:
        with disk_errors(directory):
            file = open_.enter_context(tempfile.TemporaryFile(dir=directory))
            try:
                _decompress(packed, file, what, limit)
            except decoding.Malformed as error:
                raise ImageError(f"{what} cannot be decompressed: {error}") from None
            file.flush()
        yield file


def _decompress(packed: IO[bytes], file: IO[bytes], what: str, limit: int) -> None:
    size = 0
    with decoding.decompressing():
        read = decoding.any_stream(packed)
        while data := read(_CHUNK):
            size += len(data)
            if size > limit:
                raise ImageError(f"{what} is larger than {limit >> 20} MiB uncompressed")
            file.write(data)


def check_depth(tree: Tree, what: str) -> None:
    """Refuse trees so deep that walking them would exhaust the interpreter's stack.

    :raises ImageError: when directories are nested deeper than 200 levels.
    """
    level: list[Node] = [tree.root]
    for _ in range(_MAX_TREE_DEPTH):
        level = [child for node in level for child in node.children.values() if child.is_dir]
        if not level:
            return
    raise ImageError(f"{what} has directories more than {_MAX_TREE_DEPTH} levels deep")


def _select(files: _Files, tag: str) -> ImageArchive:
    if files.has("manifest.json"):
        manifest = _read(files, "manifest.json")
        return _folder(files, manifest) if manifest[:1] == b"{" else _docker(files, manifest, tag)
    if files.has("index.json"):
        return _oci(files, tag)
    raise ImageError(
        f"{files.what} is not a container image: it has neither manifest.json nor index.json",
        "write it with: docker save -o FILE.tar IMAGE",
    )


def _folder(files: _Files, data: bytes) -> ImageArchive:
    """What skopeo calls ``dir:``, and podman ``docker-dir`` and ``oci-dir``: a manifest and what it
    names, as files that go by their digests.
    """
    manifest = _decode(data, _Manifest, f"{files.what}: manifest.json")
    config = _blob(files, manifest.config.digest, "")
    layers = [_hex(layer.digest, files.what) for layer in manifest.layers]
    return ImageArchive(files, config, layers)


def _docker(files: _Files, data: bytes, tag: str) -> ImageArchive:
    manifests = _decode(data, list[_DockerManifest], f"{files.what}: manifest.json")
    fitting = [m for m in manifests if not tag or tag in (m.repo_tags or [])]
    if len(fitting) != 1:
        tags = [name for m in manifests for name in m.repo_tags or []]
        raise _choose(files, tag, tags, len(fitting))
    return ImageArchive(files, _read(files, fitting[0].config), fitting[0].layers)


def _oci(files: _Files, tag: str) -> ImageArchive:
    index = _decode(_read(files, "index.json"), _Index, f"{files.what}: index.json")
    tags = [_tag(d) for d in index.manifests]
    fitting = [d for d, name in zip(index.manifests, tags, strict=True) if not tag or name == tag]
    for _ in range(4):  # an index may contain indexes, one for each platform
        fitting = _best(fitting)
        if len({d.digest for d in fitting}) != 1:
            raise _choose(files, tag, [*filter(None, tags)], len(fitting))
        body = _blob(files, fitting[0].digest)
        if "index" not in fitting[0].media_type and "manifest.list" not in fitting[0].media_type:
            manifest = _decode(body, _Manifest, f"{files.what}: the manifest")
            config = _blob(files, manifest.config.digest)
            layers = [f"{_BLOBS}{_hex(each.digest, files.what)}" for each in manifest.layers]
            return ImageArchive(files, config, layers)
        fitting = _decode(body, _Index, f"{files.what}: an index").manifests
    raise ImageError(f"{files.what}: indexes are nested too deeply")


def _tag(descriptor: _Descriptor) -> str:
    return (descriptor.annotations or {}).get(_TAG, "")


def _best(images: Sequence[_Descriptor]) -> list[_Descriptor]:
    """Those that the machine can run; of several with one tag, those that suit it best."""
    best: dict[str, int] = {}
    for each in images:
        best[_tag(each)] = max(best.get(_tag(each), 0), _level(each.platform))
    return [each for each in images if _level(each.platform) == best[_tag(each)]]


def _level(platform: _Platform | None) -> int:
    """How well it suits the machine, whose processor has what amd64/v2 asks for and not what v3
    asks for; -1: it cannot run it.
    """
    if platform is None:
        return 0
    if (platform.os, platform.architecture) != ("linux", "amd64"):
        return -1
    return {"": 0, "v1": 0, "v2": 1}.get(platform.variant, -1)


def _choose(files: _Files, tag: str, tags: list[str], fitting: int) -> ImageError:
    """The error when not exactly one image is meant; so many are ``fitting``."""
    names = ", ".join(sorted(set(tags)))
    if tag and tag not in tags:
        return ImageError(f'{files.what} has no image "{tag}"', f"it has: {names}")
    if tag and fitting > 1:
        return ImageError(
            f'{files.what} has {fitting} images "{tag}"', "save the one that you mean by itself"
        )
    if len(set(tags)) > 1 and not tag:
        return ImageError(f"{files.what} has several images: {names}", "append a colon and the tag")
    if fitting > 1:
        one = f'; the one with a tag by ":{tags[0]}" at the end' if tags else ""
        return ImageError(
            f"{files.what} has {fitting} images for linux/amd64",
            f"save the one that you mean by itself{one}",
        )
    return ImageError(
        f"{files.what} has no image for linux/amd64",
        "save it for that platform: docker pull --platform linux/amd64",
    )


def _read(files: _Files, name: str) -> bytes:
    with files.open(name) as file:
        data = file.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise ImageError(f"{files.what}: {name} is larger than {_MAX_JSON >> 20} MiB")
    return data


def _blob(files: _Files, digest: str, folder: str = _BLOBS) -> bytes:
    name = f"{folder}{_hex(digest, files.what)}"
    if not files.has(name):
        raise ImageError(f"{files.what} lacks {name}")
    data = _read(files, name)
    if hashlib.sha256(data).hexdigest() != _hex(digest, files.what):
        raise ImageError(f"{files.what}: {name} is damaged: it does not match its digest")
    return data


def _hex(digest: str, what: str) -> str:
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ImageError(f'{what}: "{digest[:80]}" is not a sha256 digest')
    return match[1]


def _decode(data: bytes, kind: Any, what: str) -> Any:
    try:
        return decoding.from_json(data, kind)
    except decoding.Malformed as error:
        raise ImageError(f"{what} is malformed: {error}") from None


def _image_config(run: _Run, what: str) -> ImageConfig:
    health = None
    if run.healthcheck is not None:
        told = run.healthcheck
        disabled = told.test == ["NONE"]
        health = Healthcheck(
            tuple(told.test or ()) or None,
            told.interval or None,
            told.timeout or None,
            told.retries or None,
            told.start_period or None,
            told.start_interval or None,
            disabled,
        )
    words = [*(run.env or []), *(run.entrypoint or []), *(run.cmd or []), *(run.volumes or {})]
    words += [run.working_dir or "", *(run.shell or []), *(run.on_build or [])]
    if any("\0" in word for word in words):
        raise ImageError(f"{what}: the image's configuration contains NUL")
    return ImageConfig(
        environment=tuple(run.env or ()),
        entrypoint=tuple(run.entrypoint or ()),
        command=tuple(run.cmd or ()),
        working_dir=posixpath.normpath("/" + (run.working_dir or "").lstrip("/")),
        user=run.user or "",
        stop_signal=run.stop_signal or "SIGTERM",
        volumes=tuple(sorted(run.volumes or ())),
        healthcheck=health,
        shell=tuple(run.shell or ("/bin/sh", "-c")),
        triggers=tuple(run.on_build or ()),
    )

"""Where the image of a service comes from, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from branchpoint.cache import cache_dir
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import BranchpointError, ImageError
from branchpoint.files import publish
from branchpoint.guest.tree import Tree
from branchpoint.system.images.archive import ImageArchive, ImageConfig, open_archive
from branchpoint.system.images.debian_image import DebianImage
from branchpoint.system.images.engines import ContainerEngine, builder, find_image
from branchpoint.system.model import Service, System

_TRANSPORTS = ("docker-archive:", "oci-archive:", "oci:")


@dataclass(frozen=True)
class Image:
    """An image that is known but not yet unpacked.

    ``id`` (64 hex digits) stands for every byte of its files and configuration.
    """

    name: str
    id: str
    config: ImageConfig
    unpack: Callable[[], Tree]


def find_images(system: System) -> dict[str, Image]:
    """The image of each service that has containers; equal sources are examined only once.

    :raises ImageError, SetupError: naming the compose file, the line and the service.
    """
    found: dict[str, Image] = {}
    seen: dict[object, Image] = {}
    for service in system.services.values():
        if not service.replicas:
            continue
        source = _source(service)
        try:
            if source not in seen:
                seen[source] = _find(service, system)
        except BranchpointError as error:
            raise located(error, system, service, "image", "build") from error
        found[service.name] = seen[source]
    return found


def located(
    error: BranchpointError, system: System, service: Service, *keys: str
) -> BranchpointError:
    """The same error, with file and line of the first of ``keys`` that the service has in front."""
    fallback = service.line if service.recipe is None else service.recipe.line
    line = next((service.lines[key] for key in keys if key in service.lines), fallback)
    message = f'{system.file}:{line}: service "{service.name}": {error.message}'
    return type(error)(message, error.hint) if _plain(error) else ImageError(message, error.hint)


def _plain(error: BranchpointError) -> bool:
    return type(error).__init__ is BranchpointError.__init__


def _source(service: Service) -> object:
    """A value that is equal for services which certainly have the same image."""
    if service.recipe is not None:
        return msgspec.json.encode(service.recipe)
    return msgspec.json.encode(service.build) if service.build is not None else service.image


def _find(service: Service, system: System) -> Image:
    if service.recipe is not None:
        recipe = DebianImage(service.recipe)
        name = service.image or f"{system.name}:{recipe.id[:12]}"
        return Image(name, recipe.id, recipe.config, recipe.unpack)
    name = service.image or f"{system.name}-{service.name}"
    if service.build is not None:
        engine = builder()
        return _from_engine(engine, engine.build(service.build, name), name)
    reference = system.images.get(name, name)
    place = _place(reference, Path(system.file).parent)
    if place is not None:
        path, tag = place
        if not path.exists():
            raise ImageError(f"{path} does not exist", "paths are relative to the compose file")
        return _from_archive(path, tag, name)
    engine, image_id = find_image(name)
    return _from_engine(engine, image_id, name)


def _place(reference: str, project: Path) -> tuple[Path, str] | None:
    """(path, tag) of a reference to a file; None when it is an image name for an engine."""
    for transport in _TRANSPORTS:
        if reference.startswith(transport):
            written = reference.removeprefix(transport)
            break
    else:
        if not reference.startswith(("./", "../", "/", "~")):
            return None
        written = reference
    path = project / Path(written).expanduser()
    if path.exists() or ":" not in written:
        return path, ""
    written, _, tag = written.partition(":")
    return project / Path(written).expanduser(), tag


def _from_archive(path: Path, tag: str, name: str) -> Image:
    with open_archive(path, tag) as archive:
        image_id, config = archive.id, archive.config

    def unpack() -> Tree:
        with open_archive(path, tag) as archive:
            _expect(archive, image_id, str(path))
            return archive.unpack()

    return Image(name, image_id, config, unpack)


def _expect(archive: ImageArchive, image_id: str, what: str) -> None:
    if archive.id != image_id:
        raise ImageError(f"{what} was changed while it was being read", "try again")


def _from_engine(engine: ContainerEngine, image_id: str, name: str) -> Image:
    """An engine's image; its id and configuration are cached, as saving a large one is slow."""
    kept = cache_dir() / "images" / f"{engine.program}-{image_id}.json"
    try:
        known_id, config = from_json(kept.read_bytes(), tuple[str, ImageConfig])
    except (OSError, Malformed):
        with engine.saved(image_id, name) as path, open_archive(path) as archive:
            tree = archive.unpack()
            with publish(kept) as unfinished:
                unfinished.write_bytes(msgspec.json.encode((archive.id, archive.config)))
        return Image(name, archive.id, archive.config, lambda: tree)

    def unpack() -> Tree:
        with engine.saved(image_id, name) as path, open_archive(path) as archive:
            _expect(archive, known_id, name)
            return archive.unpack()

    return Image(name, known_id, config, unpack)

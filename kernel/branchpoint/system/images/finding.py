"""Where the image of a service comes from, and what it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from branchpoint.cache import cache_dir
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import BranchpointError, ImageError, near
from branchpoint.files import publish
from branchpoint.guest.tree import Tree
from branchpoint.system.images.archive import ImageArchive, ImageConfig, open_archive
from branchpoint.system.images.debian_image import DebianImage
from branchpoint.system.images.dockerfile import builds
from branchpoint.system.images.engines import ContainerEngine, builder, find_image
from branchpoint.system.model import SERVICE, Build, Service, System

_TRANSPORTS = ("docker-archive:", "oci-archive:", "oci:", "dir:")


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
    """The image of each service that has containers, and of each version, by their titles.

    Equal sources are examined only once.

    :raises ImageError, SetupError: naming the compose file, the line and the service.
    """
    finder = _Finder(system)
    found: dict[str, Image] = {}
    running = [service for service in system.services.values() if service.replicas]
    for service in (*running, *system.versions):
        try:
            found[service.title] = finder.of(service)
        except BranchpointError as error:
            raise located(error, system, service, "image", "build") from error
    return found


def ids(system: System) -> dict[str, str]:
    """The ids of those images that are not made from the compose file, by the titles of services;
    without those that are not on this computer.
    """
    finder = _Finder(system)
    found = {}
    running = [service for service in system.services.values() if service.replicas]
    for service in (*running, *system.versions):
        if not finder.is_made(service):
            with contextlib.suppress(BranchpointError, OSError):
                found[service.title] = finder.of(service).id
    return found


def located(
    error: BranchpointError, system: System, service: Service, *keys: str
) -> BranchpointError:
    """The same error, with file and line of the first of ``keys`` that the service has in front."""
    fallback = service.line if service.recipe is None else service.recipe.line
    line = next((service.lines[key] for key in keys if key in service.lines), fallback)
    file, number = system.place(line)
    message = f'{file}:{number}: service "{service.title}": {error.message}'
    return type(error)(message, error.hint) if _plain(error) else ImageError(message, error.hint)


def _plain(error: BranchpointError) -> bool:
    return type(error).__init__ is BranchpointError.__init__


def _source(service: Service) -> object:
    """A value that is equal for services which certainly have the same image."""
    if service.recipe is not None:
        return msgspec.json.encode(service.recipe)
    return msgspec.json.encode(service.build) if service.build is not None else service.image


class _Finder:
    """Finds the images of a system's services, and those that their Dockerfiles name."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._project = Path(system.file).parent
        self._seen: dict[object, Image] = {}
        self._building: list[str] = []  # services whose Dockerfiles are being read

    def of(self, service: Service) -> Image:
        """The image of a service."""
        source = _source(service)
        if source not in self._seen:
            self._seen[source] = self._find(service)
        return self._seen[source]

    def is_made(self, service: Service) -> bool:
        """Whether its image is made from the compose file, for it or for another service."""
        if service.recipe is not None or service.build is not None:
            return True
        name = service.image or f"{self._system.name}-{service.name}"
        return name not in self._system.images and self._made_as(name, service) is not None

    def _find(self, service: Service) -> Image:
        if service.recipe is not None:
            recipe = DebianImage(service.recipe)
            name = service.image or f"{self._system.name}:{recipe.id[:12]}"
            return Image(name, recipe.id, recipe.config, recipe.unpack)
        name = service.image or f"{self._system.name}-{service.name}"
        if service.build is None:
            other = None if name in self._system.images else self._made_as(name, service)
            return self._named(name) if other is None else self.of(other)
        if not Path(service.build.context).is_dir():
            raise ImageError(
                f"there is no directory {service.build.context} to build the image from",
                'name it by "context", relative to the compose file',
            )
        engine = builder()
        if engine is not None and not self._needs_us(service, service.build):
            return _from_engine(engine, engine.build(service.build, name), name)
        return self._built(service, service.build, name)

    def _built(self, service: Service, build: Build, name: str) -> Image:
        """The image of a Dockerfile, which is built here."""
        if service.name in self._building:
            way = " -> ".join([*self._building, service.name])
            raise ImageError(f"these images are made of each other: {way}")
        self._building.append(service.name)
        try:
            stage = builds.planned(build, lambda reference: self._base(reference, service))
        finally:
            self._building.pop()
        return Image(name, stage.id, stage.config, stage.build)

    def _needs_us(self, service: Service, build: Build) -> bool:
        """Whether a Dockerfile names an image that no engine could find."""
        try:
            names = builds.names(build)
        except ImageError:  # the engine says what is wrong, or knows more than we do
            return False
        for reference in names:
            if reference.startswith(SERVICE):
                return True
            other = self._other(reference, service)
            known = self._system.images.get(reference, reference)
            if (other is not None and other.recipe is not None) or known != reference:
                return True
            if _place(reference, self._project) is not None:
                return True
        return False

    def _base(self, reference: str, service: Service) -> Image:
        """The image that the Dockerfile of ``service`` calls ``reference``."""
        if reference.startswith(SERVICE):
            name = reference.removeprefix(SERVICE)
            if name not in self._system.services:
                raise ImageError(
                    f'there is no service "{name}", which "additional_contexts" names',
                    near(name, self._system.services),
                )
            return self.of(self._system.services[name])
        other = self._other(reference, service)
        return self.of(other) if other is not None else self._named(reference)

    def _other(self, reference: str, service: Service) -> Service | None:
        """The service of which a Dockerfile means the image: one that has
        ``x-branchpoint-debian`` goes by its own name, too.
        """
        for other in self._system.services.values():
            if other is not service and other.recipe is not None and other.name == reference:
                return other
        return self._made_as(reference, service)

    def _made_as(self, reference: str, service: Service) -> Service | None:
        """Another service whose image is made from the compose file, under this name."""
        for other in self._system.services.values():
            if other is service or (other.recipe is None and other.build is None):
                continue
            if other.image is not None and _canonical(other.image) == _canonical(reference):
                return other
        return None

    def _named(self, name: str) -> Image:
        """The image of an archive, or of an engine on this computer."""
        reference = self._system.images.get(name, name)
        place = _place(reference, self._project)
        if place is not None:
            path, tag = place
            if not path.exists():
                raise ImageError(f"{path} does not exist", "paths are relative to the compose file")
            return _from_archive(path, tag, name)
        engine, image_id = find_image(name)
        return _from_engine(engine, image_id, name)


def _canonical(reference: str) -> str:
    """The name of an image with all that docker adds to it."""
    name = reference.removeprefix("docker.io/").removeprefix("library/")
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"


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
    kept = cache_dir() / "image-configs" / f"{engine.program}-{image_id}.json"
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

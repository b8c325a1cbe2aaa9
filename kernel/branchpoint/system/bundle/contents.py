"""What a system is made of besides its compose files, as far as nothing has to be built for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from branchpoint.errors import BranchpointError
from branchpoint.system.images import projectfiles
from branchpoint.system.images.dockerfile import builds
from branchpoint.system.images.finding import ids
from branchpoint.system.model import Service, System


def contents(system: System, apart: Path) -> dict[str, str]:
    """A digest (hex) of "image of NAME", "build of NAME" and "files of NAME" for each service.

    They are the same on any computer, wherever the project lies there. Of an image that is made
    from a Dockerfile, it is a digest of this and of the files that it copies; an image of Debian's
    packages changes with them only, and is left out. So is what is not on this computer. Files are
    those of the project; without a directory in which ``apart`` is, as what is written there
    changes it.
    """
    found = {f"image of {name}": id_ for name, id_ in ids(system).items()}
    project, written = Path(system.file).resolve().parent, apart.resolve()
    for service in [*system.services.values(), *system.versions]:
        sources = sorted(
            (target, source)
            for target, source in _sources(service)
            if source.is_relative_to(project) and not written.is_relative_to(source)
        )
        with contextlib.suppress(BranchpointError, OSError):
            if service.build is not None and service.recipe is None:
                found[f"build of {service.title}"] = builds.digest(service.build)
        with contextlib.suppress(BranchpointError, OSError):
            whole = blake3()
            for target, source in sources:
                whole.update(f"{target}\0{projectfiles.digest(source)}\0".encode())
            if sources:
                found[f"files of {service.title}"] = whole.hexdigest(16)
    return found


def _sources(service: Service) -> Iterator[tuple[str, Path]]:
    """Where a service has something of this computer, and where that is here."""
    yield from ((m.target, Path(m.source)) for m in service.mounts if m.kind == "bind")
    files = [*service.files, *(service.recipe.files if service.recipe is not None else ())]
    yield from ((each.target, Path(each.source)) for each in files if each.source)

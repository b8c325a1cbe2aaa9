"""What services take from each other: names (``links``), mounts (``volumes_from``), networks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.files import Files
from branchpoint.system.compose.tree.yamltree import Value
from branchpoint.system.model import MACHINE, Dependency, Mount, Service


def joined(services: list[Service], files: Files, others: Iterable[Service] = ()) -> list[Service]:
    """The services with what they take from others, or from each other; each starts after those.

    :raises ComposeError: with file and line, for a service that is not there, or a circle.
    """
    return _Joining(services, files, [*services, *others]).all()


def owner_of(name: str, services: Iterable[Service]) -> Service | None:
    """The service of that name, or the one whose container has it."""
    return next((s for s in services if name in (s.name, s.container_name)), None)


class _Joining:
    def __init__(self, services: list[Service], files: Files, known: list[Service]) -> None:
        self.services = services
        self.files = files
        self.known = known

    def all(self) -> list[Service]:
        return [
            replace(
                service,
                depends=self._depends(service),
                mounts=self._mounts(service, ()),
            )
            for service in self.services
        ]

    def _find(self, name: str, line: int) -> Service:
        found = owner_of(name, self.known)
        if found is None:
            known = [service.name for service in self.known]
            raise fields.missing(Value(self.files, line), "service", name, known)
        return found

    def _depends(self, service: Service) -> tuple[Dependency, ...]:
        wanted = [(link.service, link.line) for link in service.links]
        wanted += [(taken.name, taken.line) for taken in service.mounts_of]
        if service.network_of not in (None, MACHINE):
            wanted.append((str(service.network_of), service.lines["network_mode"]))
        depends = {dependency.name: dependency for dependency in service.depends}
        for name, line in wanted:
            other = self._find(name, line).name
            depends.setdefault(other, Dependency(other, "started", line))
        return tuple(depends.values())

    def _mounts(self, service: Service, path: tuple[str, ...]) -> tuple[Mount, ...]:
        """Its own mounts, then those of others at places that are still free."""
        found = {mount.target: mount for mount in service.mounts}
        for taken in service.mounts_of:
            other = self._find(taken.name, taken.line)
            if other.name in (*path, service.name):
                circle = " -> ".join([*path, service.name, other.name])
                raise Value(self.files, taken.line).error(
                    f"services take mounts from each other in a circle: {circle}"
                )
            for mount in self._mounts(other, (*path, service.name)):
                read_only = mount.read_only or taken.read_only
                found.setdefault(mount.target, replace(mount, read_only=read_only))
        return tuple(found.values())

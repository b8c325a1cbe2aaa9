"""A compose file -> System: everything that is known before images are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Variables
from dataclasses import replace
from pathlib import Path

from branchpoint.errors import ComposeError
from branchpoint.system.compose.declared import KEY as DECLARED_KEY
from branchpoint.system.compose.declared import read_declared
from branchpoint.system.compose.grants import Granted
from branchpoint.system.compose.keys import TOP
from branchpoint.system.compose.networks import Addresses, read_networks
from branchpoint.system.compose.services.attachments import BRIDGE
from branchpoint.system.compose.services.joining import joined, owner_of
from branchpoint.system.compose.services.service import ServiceReader, check_keys, read_profiles
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.files import Files
from branchpoint.system.compose.tree.gathering import Gatherer, with_env_files
from branchpoint.system.compose.tree.merging import as_version
from branchpoint.system.compose.tree.naming import PROJECT_NAME, project_name
from branchpoint.system.compose.tree.yamltree import Mapping, Value
from branchpoint.system.compose.volumes import Volumes
from branchpoint.system.images.recipe import KEY as RECIPE_KEY
from branchpoint.system.images.recipe import read_recipe
from branchpoint.system.model import (
    MACHINE,
    Attachment,
    ContainerSpec,
    Dependency,
    Network,
    Note,
    Recipe,
    Service,
    System,
)

FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = tuple(
    f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml")
)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}")
_MAX_CONTAINERS = 200


def load(
    files: Path | str | Sequence[Path | str],
    profiles: Iterable[str] | None = None,
    environ: Variables[str, str] | None = None,
    env_files: Sequence[Path | str] | None = None,
) -> System:
    """Read a compose file, the one in a directory, or several files.

    Later files are merged over earlier ones; relative paths start at the folder of the first.
    ``environ`` are the shell's variables (default: this process's), which override those in
    ``env_files`` (default: ``.env`` beside the first file); ``profiles`` are the enabled ones
    (default: ``$COMPOSE_PROFILES``).

    :raises ComposeError: with file and line, for everything that cannot be done as written.
    """
    shell = dict(os.environ if environ is None else environ)
    given = [Path(files)] if isinstance(files, str | Path) else [Path(each) for each in files]
    folder = given[0].absolute() if given[0].is_dir() else given[0].absolute().parent
    if env_files is None:
        env_files = [folder / ".env"] if (folder / ".env").is_file() else []
    variables = with_env_files(shell, [Path(each) for each in env_files])
    paths = compose_files(given, variables)
    if profiles is None:
        profiles = variables.get("COMPOSE_PROFILES", "").split(",")
    numbered = Files()
    gatherer = Gatherer(numbered)
    variables[PROJECT_NAME] = project_name([gatherer.scanned(path) for path in paths], variables)
    root = gatherer.gather(paths, paths[0].parent, variables)
    reader = _Reader(paths[0], numbered, root, variables, set(profiles))
    for name, line in gatherer.unset.items():
        reader.notes.append(Note(line, f"the variable {name} has no value and counts as empty"))
    for line, key in gatherer.ignored.items():
        reader.notes.append(Note(line, f'"{key}" has no effect in a file that is included'))
    return reader.read()


def compose_files(given: Sequence[Path], variables: Variables[str, str]) -> list[Path]:
    """The files that are meant: those given, or those of a directory, as the engines find them.

    :raises ComposeError: when there is none.
    """
    if len(given) > 1 or not given[0].is_dir():
        return [path.absolute() for path in given]
    folder = given[0].absolute()
    if named := variables.get("COMPOSE_FILE"):
        separator = variables.get("COMPOSE_PATH_SEPARATOR") or ":"
        return [folder / Path(name).expanduser() for name in named.split(separator) if name]
    found = _first(folder, FILE_NAMES)
    if found is None:
        looked = ", ".join(FILE_NAMES)
        raise ComposeError("no compose file here", given[0], hint=f"looked for {looked}")
    override = _first(folder, OVERRIDE_NAMES)
    return [found] if override is None else [found, override]


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def error_at(system: System, line: int, message: str, hint: str = "") -> ComposeError:
    """An error about a line of the files that ``system`` was read from."""
    file, number = system.place(line)
    return ComposeError(message, Path(file), number, hint)


class _Reader:
    def __init__(
        self,
        file: Path,
        files: Files,
        root: Mapping,
        variables: Variables[str, str],
        enabled: set[str],
    ) -> None:
        self.file = file
        self.files = files
        self.root = root
        self.project = file.parent
        self.variables = variables
        self.enabled = enabled
        self.notes: list[Note] = []

    def read(self) -> System:
        entries = self.root.entries
        self._check_top()
        declared = entries.get(DECLARED_KEY)
        recipe = None
        if RECIPE_KEY in entries:
            recipe = read_recipe(entries[RECIPE_KEY])
        services, sleeping = self._services(recipe)
        versions = self._versions(services, sleeping, recipe)
        volumes = Volumes(self.root, self.notes)
        services = [volumes.bound(service) for service in services]
        versions = [volumes.bound(service) for service in versions]
        networks = self._networks(services)
        containers = self._containers(services, sleeping, networks)
        options = read_declared(declared, containers)
        made = volumes.used([*services, *versions], options.upper)
        self.notes.sort(key=lambda note: note.line)
        return System(
            name=self._name(),
            file=str(self.file),
            files=self.files.places(),
            services={service.name: service for service in services},
            containers=tuple(containers),
            networks=networks,
            volumes=made,
            faults=options.faults,
            noise=options.noise,
            setup=options.setup,
            ram=options.ram,
            mhz=options.mhz,
            upper=options.upper,
            images=options.images,
            properties=options.properties,
            versions=tuple(versions),
            notes=tuple(self.notes),
        )

    def _error(self, line: int, message: str, hint: str = "") -> ComposeError:
        return self.files.error(line, message, hint)

    def _check_top(self) -> None:
        for key in self.root.entries:
            if key in TOP.noted:
                text = f'"{key}" has no effect: {TOP.noted[key]}'
                self.notes.append(Note(self.root.key_lines[key], text))
            elif key in TOP.refused:
                raise self.root.key_error(key, f'"{key}" is not supported', TOP.refused[key])
            elif key.startswith(DECLARED_KEY) and key not in (DECLARED_KEY, RECIPE_KEY):
                hint = fields.nearest(key, [DECLARED_KEY, RECIPE_KEY])
                raise self.root.key_error(key, f'unknown key "{key}"', hint)
        fields.check_keys(
            self.root, [*TOP.accepted, *TOP.refused, DECLARED_KEY, RECIPE_KEY], "the file"
        )
        if "services" not in self.root.entries:
            raise self._error(self.root.line, 'there are no "services"')

    def _name(self) -> str:
        if "name" not in self.root.entries:
            return self.project.name or "system"
        value = self.root.entries["name"]
        name = fields.text(value, '"name"')
        if not _NAME.fullmatch(name):
            raise value.error(f'"{name}" cannot be the name of a system')
        return name

    # --- services ----------------------------------------------------------------------------

    def _services(self, recipe: Recipe | None) -> tuple[list[Service], set[str]]:
        """The active services (each has an image or a recipe), and the names of the others."""
        section = fields.mapping(self.root.entries["services"], '"services"')
        granted = Granted(self.root, self.variables)
        active: list[Service] = []
        sleeping: set[str] = set()
        for name, value in section.entries.items():
            line = section.key_lines[name]
            if not _NAME.fullmatch(name):
                raise self._error(line, f'"{name}" cannot be the name of a service')
            body = fields.mapping(value, f'service "{name}"')
            wanted = read_profiles(body)
            if wanted and not self.enabled & {*wanted, "*"}:
                check_keys(name, body)
                sleeping.add(name)
                continue
            service = ServiceReader(name, body, self.variables, granted, self.notes).read(line)
            if service.image is None and service.build is None and service.recipe is None:
                if recipe is None:
                    raise self._error(
                        line,
                        f'service "{name}" has no image',
                        f'give it "image", "build" or "{RECIPE_KEY}"',
                    )
                service = replace(service, recipe=recipe)
            if not service.networks and "network_mode" not in body.entries:
                service = replace(service, networks=(Attachment("default", line),))
            active.append(service)
        if not active:
            hint = f"enable one of the profiles of: {', '.join(sorted(sleeping))}"
            raise self._error(section.line, "no service is active", hint if sleeping else "")
        return joined(active, self.files), sleeping

    def _versions(
        self, services: list[Service], sleeping: set[str], recipe: Recipe | None
    ) -> list[Service]:
        """What containers may become, each as a service with the name of their own one.

        It has what the other service says, and for the rest what their own one says.
        """
        section = fields.mapping(self.root.entries["services"], '"services"').entries
        granted = Granted(self.root, self.variables)
        known = {service.name: service for service in services}
        found = []
        for service in services:
            for name, line in service.versions:
                where = Value(self.files, line)
                if name in sleeping:
                    raise where.error(
                        f'the profile of "{name}" is not enabled',
                        'give it "scale: 0" in place of the profile',
                    )
                if name not in known:
                    raise fields.missing(where, "service", name, known)
                if name == service.name:
                    raise where.error(f'"{name}" cannot be another version of itself', "remove it")
                body = as_version(
                    fields.mapping(section[service.name], f'service "{service.name}"'),
                    fields.mapping(section[name], f'service "{name}"'),
                )
                reader = ServiceReader(service.name, body, self.variables, granted, [])
                made = replace(reader.read(line), versions=(), version=name, replicas=0)
                if made.image is None and made.build is None and made.recipe is None:
                    made = replace(made, recipe=recipe)
                found.append(made)
        return joined(found, self.files, services)

    def _networks(self, services: list[Service]) -> dict[str, Network]:
        section = None
        value = self.root.entries.get("networks")
        if value is not None and not fields.is_null(value):
            section = fields.mapping(value, '"networks"')
        known = {"default", *(section.entries if section else ())}
        if any("network_mode" in service.lines and service.networks for service in services):
            known.add(BRIDGE)
        for service in services:
            for attachment in service.networks:
                if attachment.network not in known:
                    where = Value(self.files, attachment.line)
                    raise fields.missing(where, "network", attachment.network, known)
        return read_networks(section, services, self.notes)

    # --- containers --------------------------------------------------------------------------

    def _containers(
        self, services: list[Service], sleeping: set[str], networks: dict[str, Network]
    ) -> list[ContainerSpec]:
        members = {
            service.name: [
                service.container_name or f"{service.name}.{number}"
                for number in range(1, service.replicas + 1)
            ]
            for service in services
        }
        owner: dict[str, Service] = {}
        for service in services:
            for name in members[service.name]:
                other = owner.setdefault(name, service)
                if other is not service:
                    line = service.lines.get("container_name", service.line)
                    raise self._error(
                        line, f'"{name}" is already the name of a container of "{other.name}"'
                    )
        if len(owner) > _MAX_CONTAINERS:
            raise self._error(services[0].line, f"more than {_MAX_CONTAINERS} containers")
        addresses = Addresses(networks, services, self.root)
        aliases = {a for s in services for attachment in s.networks for a in attachment.aliases}
        taken = {*members, *owner, *aliases}
        made: dict[str, ContainerSpec] = {}
        for service in services:
            depends = self._dependencies(service, members, sleeping)
            volumes = tuple(
                dict.fromkeys(
                    m.source
                    for m in service.mounts
                    if m.kind == "volume" and m.source and not m.read_only
                )
            )
            for number, name in enumerate(members[service.name], start=1):
                # One label, as a shell's prompt shows a host name up to its first dot; unless
                # others are called that, who would then be found under this container's address.
                label = name.replace(".", "-")
                own = name if label in taken else label
                hostname = service.hostname or own[:63].rstrip(".-_")
                endpoints = addresses.endpoints(service, name, hostname, len(made))
                made[name] = ContainerSpec(
                    name, service.name, number, hostname, endpoints, depends, volumes,
                    self._network_of(service, services, members),
                    tuple(name for name, _ in service.versions),
                )  # fmt: skip
        return [made[name] for name in self._start_order(services, members)]

    def _network_of(
        self, service: Service, services: list[Service], members: dict[str, list[str]]
    ) -> str:
        if service.network_of in (None, MACHINE):
            return service.network_of or ""
        owner = owner_of(str(service.network_of), services)
        assert owner is not None  # else it was refused
        if owner.network_of is not None or not members[owner.name]:
            raise self._error(
                service.lines["network_mode"],
                f'service "{owner.name}" has no network of its own to share',
                "name the service that has it",
            )
        return members[owner.name][0]

    def _dependencies(
        self, service: Service, members: dict[str, list[str]], sleeping: set[str]
    ) -> tuple[Dependency, ...]:
        found = []
        for dependency in service.depends:
            where = Value(self.files, dependency.line)
            if dependency.name == service.name:
                raise where.error(f'service "{service.name}" depends on itself')
            if dependency.name not in members:
                if not dependency.required:
                    continue
                if dependency.name in sleeping:
                    raise where.error(
                        f'service "{service.name}" depends on "{dependency.name}", whose profile '
                        "is not enabled",
                        "enable it, or write required: false",
                    )
                raise fields.missing(where, "service", dependency.name, members)
            found += [replace(dependency, name=name) for name in members[dependency.name]]
        return tuple(found)

    def _start_order(self, services: list[Service], members: dict[str, list[str]]) -> list[str]:
        """Container names, each after all it depends on, otherwise in the order written."""
        by_name = {service.name: service for service in services}
        done: dict[str, None] = {}

        def visit(service: Service, path: list[str]) -> None:
            for dependency in service.depends:
                if dependency.name in path:
                    circle = " -> ".join([*path[path.index(dependency.name) :], dependency.name])
                    raise self._error(
                        dependency.line, f"services depend on each other in a circle: {circle}"
                    )
                other = by_name.get(dependency.name)
                if other is not None and other.name not in done:
                    visit(other, [*path, other.name])
            done[service.name] = None

        for service in services:
            if service.name not in done:
                visit(service, [service.name])
        return [name for service in done for name in members[service]]

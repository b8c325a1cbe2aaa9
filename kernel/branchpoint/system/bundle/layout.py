"""System + images -> the system image: one read-only file that the guest mounts at /system.

===============================================  ==================================================
path                                             content
===============================================  ==================================================
``images/<digest>/``                             files of each image, layers merged
``branchpoint/setup.sh``                         networks, volumes, overlays (:mod:`setup_script`)
``branchpoint/system.conf``                      what the agent supervises (:mod:`runtime_files`)
``branchpoint/network/``                         input of ``ip -batch``, and of ``nft``
``branchpoint/containers/<name>/config.json``    the OCI bundle (:mod:`oci`)
``branchpoint/containers/<name>/etc/``           hosts, hostname, resolv.conf
``branchpoint/containers/<name>/versions/``      bundles of what it may become
``.../renew.sh``                                 makes its file system anew, as this version
``branchpoint/binds/<digest>``                   project files (:mod:`project_mounts`)
``branchpoint/granted/<digest>-...``             secrets and configs
``branchpoint/init``                             process 1 for services with ``init: true``
===============================================  ==================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import msgspec
from blake3 import blake3

from branchpoint import progress
from branchpoint.cache import cache_dir
from branchpoint.errors import BranchpointError, ImageError
from branchpoint.files import locked, publish
from branchpoint.guest import debian, erofs
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import cached, runtime_files, sdk, setup_script, templates
from branchpoint.system.bundle.oci import INIT_PATH, Bind, bundle_config, process_of
from branchpoint.system.bundle.project_mounts import ProjectMounts, digest, grant
from branchpoint.system.bundle.runtime_files import Part
from branchpoint.system.bundle.setup_script import Rooting, anonymous_path, etc_binds, volume_path
from branchpoint.system.compose import reading as compose
from branchpoint.system.images.finding import Image, find_images, located
from branchpoint.system.model import ContainerSpec, Mount, Service, System

_SYSTEM = Path(__file__).parents[1]
_CONFIGURATION = "branchpoint/system.conf"
_TESTS = "tests"  # beside a system image: its test commands
_INIT_PACKAGE = "tini"
_INIT_PROGRAM = "usr/bin/tini-static"


@dataclass(frozen=True)
class SystemImage:
    """A system ready to run: ``path`` is the file for the machine's second memory device.

    ``digest`` (32 hex digits) is that of the file's content; ``size`` its length in bytes, a power
    of two; ``images`` has the image of each service as (name, id), ``tests`` the test commands of
    each container that has some.
    """

    path: Path
    digest: str
    size: int
    system: System
    images: dict[str, tuple[str, str]]
    tests: dict[str, list[str]]


def build(
    files: Path | str | Sequence[Path | str],
    profiles: Iterable[str] | None = None,
    environ: Mapping[str, str] | None = None,
    env_files: Sequence[Path | str] | None = None,
) -> SystemImage:
    """The system image of compose files, from the cache when nothing in them has changed.

    The arguments are those of :func:`branchpoint.system.load`.

    :raises ComposeError: with file and line, for what the file asks for and cannot be done.
    :raises ImageError, SetupError: for images that are missing or damaged.
    """
    system = compose.load(files, profiles, environ, env_files)
    images = find_images(system)
    key = _key(system, images)
    folder = cache_dir() / "systems" / key
    with locked(f"system-{key}"):
        if not (folder / cached.DIGEST).exists():
            with progress.task(f"system image of {system.name}", 3, "steps") as task:
                tree = system_tree(system, images, task)
                task.update(2, "writing the file system")
                with publish(folder) as unfinished:
                    unfinished.mkdir()
                    erofs.write_nvdimm(tree, unfinished / "system")
                    configuration = tree.read(_CONFIGURATION).decode("utf-8", "surrogateescape")
                    tests = msgspec.json.encode(templates.listed(configuration))
                    (unfinished / _TESTS).write_bytes(tests)
                    digest = blake3().update_mmap(unfinished / "system").hexdigest(16)
                    (unfinished / cached.DIGEST).write_text(digest)
                task.update(3, "done")
        path, made = cached.file_in(folder)
        return SystemImage(
            path,
            made,
            path.stat().st_size,
            system,
            {name: (image.name, image.id) for name, image in images.items()},
            msgspec.json.decode((folder / _TESTS).read_bytes(), type=dict[str, list[str]]),
        )


def _key(system: System, images: dict[str, Image]) -> str:
    """A digest of all that goes into the image: the system, images, bound files, our own code."""
    record = msgspec.json.decode(msgspec.json.encode(system))
    for useless in ("file", "files", "notes", "faults", "noise", "ram", "mhz", "properties"):
        del record[useless]
    for service in record["services"].values():
        del service["versions"]  # these are in the system's own, without their lines
    key = blake3(json.dumps(_without_lines(record), sort_keys=True).encode())
    for name, image in sorted(images.items()):
        key.update(json.dumps([name, image.id]).encode())
    for path in _bound(system):
        key.update(json.dumps([path, digest(path)]).encode())
    if any(service.init for service in system.services.values()):
        key.update(debian.fingerprint([_INIT_PACKAGE]).encode())
    guest = Path(erofs.__file__).parent
    for source in [
        *sorted(_SYSTEM.rglob("*.py")),
        *sorted(_SYSTEM.rglob("*.sh")),
        *sorted(guest.glob("*.py")),
        *sorted(guest.glob("*.sh")),
    ]:
        key.update(source.name.encode() + b"\0" + blake3(source.read_bytes()).digest())
    return key.hexdigest(16)


_LINES = ("line", "line6", "lines")


def _without_lines(value: object) -> object:
    """The record without line numbers: a new comment in the file changes nothing."""
    if isinstance(value, dict):
        return {k: _without_lines(v) for k, v in value.items() if k not in _LINES}
    return [_without_lines(item) for item in value] if isinstance(value, list) else value


def _bound(system: System) -> list[str]:
    services = system.services.values()
    mounted = {m.source for service in services for m in service.mounts if m.kind == "bind"}
    return sorted(mounted | {f.source for service in services for f in service.files if f.source})


def system_tree(
    system: System, images: dict[str, Image], task: progress.Task | None = None
) -> Tree:
    """The content of the system image.

    :raises ComposeError, ImageError: as :func:`build` does.
    """
    tree = Tree()
    trees: dict[str, Tree] = {}
    tree.add_dir("images")
    for name, image in images.items():
        if image.id not in trees:
            if task is not None:
                task.update(0, f"unpacking {image.name}")
            try:
                trees[image.id] = image.unpack()
            except ImageError as error:
                raise located(error, system, system.services[name], "image", "build") from error
            root = trees[image.id].root
            tree.merge(trees[image.id], f"images/{image.id[:12]}")
            tree.add_dir(f"images/{image.id[:12]}", root.mode & 0o7777, root.uid, root.gid)
    if task is not None:
        task.update(1, "containers")
    project = ProjectMounts(system)
    if any(service.init for service in system.services.values()):
        init = debian.unpack(debian.resolve([_INIT_PACKAGE], keep=lambda n: n == _INIT_PACKAGE))
        tree.add_file("branchpoint/init", init.read(_INIT_PROGRAM), 0o755)
    filled: dict[str, bool] = {}
    parts: list[Part] = []
    tests: dict[str, list[templates.Command]] = {}
    rootings: list[Rooting] = []
    for container in system.containers:
        anonymous: dict[str, str] = {}
        for service in system.versions_of(container):
            image = images[service.title]
            files = trees[image.id]
            try:
                process = process_of(service, container, image.config, files)
            except BranchpointError as error:
                raise located(error, system, service, "user", "command", "image") from error
            library = _takes_library(service, files)
            process, pipes = sdk.connect(process, container, library=library)
            binds = {
                mount: project.place(mount, process.identity)
                for mount in service.mounts
                if mount.kind == "bind"
            }
            first = not service.version
            mounted, tmpfs, rooting = _mounts(
                service, container, image, files, binds, filled if first else {}, anonymous
            )
            mounted += pipes
            mounted += [grant(entry, tree) for entry in service.files]
            if process.working_dir not in files:
                made = _settled(files, process.working_dir)
                if made is None:
                    missing = ImageError(f"{process.working_dir} is a broken link")
                    raise located(missing, system, service, "working_dir", "image")
                rooting = replace(rooting, made=made)
            parts.append((service, container, process, mounted))
            config = bundle_config(service, container, process, mounted, tmpfs)
            folder = f"branchpoint/{runtime_files.bundle_folder(container, service)}"
            _text(tree, f"{folder}/config.json", json.dumps(config, indent=1) + "\n")
            if container.versions:
                _text(tree, f"{folder}/{runtime_files.RENEWAL}", setup_script.renewal(rooting))
            if first:
                rootings.append(rooting)
                try:
                    tests[container.name] = templates.find(files, service.mounts)
                except ImageError as error:
                    raise located(error, system, service, "image", "build") from error
        _add_own_files(tree, system, container)
    _check_health(system, parts)
    templates.check(chain.from_iterable(tests.values()))
    _text(tree, "branchpoint/network/host", runtime_files.host_network(system))
    if six := runtime_files.host_network6(system):
        _text(tree, "branchpoint/network/host6", six)
    _text(tree, "branchpoint/network/names", runtime_files.NAMES)
    _text(tree, _CONFIGURATION, runtime_files.configuration(system, parts, tests))
    _text(
        tree,
        "branchpoint/setup.sh",
        setup_script.script(system, rootings, project.add_to(tree))
        + "\n".join(["", *sdk.set_up(part[1:] for part in parts), ""]),
        0o755,
    )
    return tree


def _add_own_files(tree: Tree, system: System, container: ContainerSpec) -> None:
    """What a container has, whichever version of it runs."""
    own = f"branchpoint/containers/{container.name}"
    _text(tree, f"{own}/etc/hosts", runtime_files.hosts(system, container))
    _text(tree, f"{own}/etc/hostname", container.hostname + "\n")
    _text(tree, f"{own}/etc/resolv.conf", runtime_files.resolv_conf(system, container))
    _text(
        tree,
        f"branchpoint/network/containers/{container.name}",
        runtime_files.container_network(system, container),
    )


def _text(tree: Tree, path: str, text: str, mode: int = 0o644) -> None:
    tree.add_file(path, text.encode("utf-8", "surrogateescape"), mode)


def _mounts(
    service: Service,
    container: ContainerSpec,
    image: Image,
    files: Tree,
    project: dict[Mount, str],
    filled: dict[str, bool],
    anonymous: dict[str, str],
) -> tuple[list[Bind], list[Mount], Rooting]:
    """Binds and tmpfs of a container, and how its file system is made.

    Volumes that the image declares and the service does not mount become anonymous ones, as with
    docker. ``project``: where files of the project are in the guest. ``filled``: volumes that an
    earlier container has filled -> whether there was content. ``anonymous``: the container's
    anonymous volumes so far, where they are in the container -> where they are in the guest.
    """
    taken = {mount.target for mount in service.mounts}
    declared = [
        Mount("volume", "/" + path.strip("/"), 0)
        for path in image.config.volumes
        if path.startswith("/") and path.strip("/") and "/" + path.strip("/") not in taken
    ]
    binds = etc_binds(container)
    if service.init:
        binds.append(Bind(f"{runtime_files.ROOT}/init", INIT_PATH, True))
    tmpfs: list[Mount] = []
    directories: list[str] = []
    fills: list[tuple[str, str]] = []
    for mount in (*service.mounts, *declared):
        if mount.kind == "tmpfs":
            tmpfs.append(mount)
        elif mount.kind == "bind":
            binds.append(Bind(project[mount], mount.target, mount.read_only))
        elif mount.kind == "machine":
            binds.append(Bind(mount.source, mount.target, True, recursive=True))
        else:
            if mount.source:
                place = volume_path(mount.source)
            else:
                place = anonymous.setdefault(
                    mount.target, anonymous_path(container, len(anonymous))
                )
                directories.append(place)
            binds.append(Bind(place, mount.target, mount.read_only))
            real = _settled(files, mount.target)
            node = files.get(mount.target)
            has_content = node is not None and bool(node.children)
            wanted = has_content and not filled.get(place)
            if mount.copy and real and (wanted or (node is not None and place not in filled)):
                fills.append((real, place))
                filled[place] = has_content
    rooting = Rooting(container, image.id[:12], tuple(directories), tuple(fills))
    return binds, tmpfs, rooting


def _settled(files: Tree, path: str) -> str | None:
    """``path`` relative to the root, with every link followed; None when one of them is broken.

    If links were left in it, the path could lead out of the image in the guest's own file system.
    """
    parts = [part for part in path.split("/") if part]
    for length in range(len(parts), 0, -1):
        real = files.real_path("/".join(parts[:length]))
        if real is not None:
            return "/".join([real, *parts[length:]])
        if files.get("/".join(parts[:length]), follow=False) is not None:
            return None
    return "/".join(parts)


def _takes_library(service: Service, files: Tree) -> bool:
    """Whether the library for SDKs can be mounted: not into what the service has mounted around its
    place, where a file would have to be made first; nor at a broken link.
    """
    place = _settled(files, sdk.LIBRARY)
    if place is None:
        return False
    mounted = (_settled(files, mount.target) for mount in service.mounts)
    return not any(each and f"{place}/".startswith(f"{each}/") for each in mounted)


def _check_health(system: System, parts: list[Part]) -> None:
    """Refuse to wait for the health of a container that has no health check."""
    checked = {container.name for _, container, process, _ in parts if process.healthcheck}
    for service, container, _, _ in parts:
        for dependency in container.depends:
            if dependency.condition == "healthy" and dependency.name not in checked:
                raise compose.error_at(
                    system,
                    dependency.line,
                    f'service "{service.name}" waits until "{dependency.name}" is healthy, but '
                    "neither its service nor its image has a healthcheck",
                    'give it a "healthcheck", or wait for service_started',
                )

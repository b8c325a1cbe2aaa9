"""The command ``branchpoint machine``: the machines on this computer."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from branchpoint.cli import show
from branchpoint.debian import lock
from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.guest import image, machines, release
from branchpoint.guest.machines import Machine
from branchpoint.machine import engine
from branchpoint.sharing.bundle.contents import Contents
from branchpoint.sharing.bundle.machines import SUFFIX, export, import_machine
from branchpoint.sharing.bundle.opening import contents_of
from branchpoint.sharing.bundle.share import head_of
from branchpoint.store import manifest
from branchpoint.system.bundle import cached
from branchpoint.system.bundle.cached import Cached

_DEPTH = 4  # folders below one that is searched for recordings, to list machines
_HEADS = {"recording.json", "events"}  # a recording has these, whatever its name is
_MIB = 1 << 20
_KERNEL = "linux-image-"


@click.group(invoke_without_command=True)
@click.option("--below", "folder", type=click.Path(path_type=Path), default=Path(),
              metavar="FOLDER", help="Where to look for recordings.  [default: here]")  # fmt: skip
@click.pass_context
def machine(context: click.Context, folder: Path) -> None:
    """List the machines on this computer, and how many recordings name them.

    A machine is all that decides what a recorded system does: guest image, firmware, board. Those
    of different days lie side by side, so that old recordings still replay.

    \b
    Examples:
      branchpoint machine
      branchpoint machine --below ~/recordings
      branchpoint machine export ours.bpm
    """
    if context.invoked_subcommand is None:
        click.echo(_table(folder))


def _table(folder: Path) -> str:
    users = Counter(_named_in(folder))
    chosen, stated = image.chosen(), lock.read().guest
    rows = [("machine", "kernel", "packages", "MiB", "recordings here", "")]
    for each in machines.known():
        remark = "of this release" if each.image.digest == stated else ""
        if chosen and chosen.digest == each.image.digest:
            remark = "used for new recordings"
        rows.append(
            (each.name, _kernel(each), str(len(each.image.packages)), str(each.size // _MIB),
             str(users.pop(each.name, 0)), remark)
        )  # fmt: skip
    rows += [(name, "", "", "", str(count), "not here") for name, count in users.items()]
    return "\n".join([show.table(rows), *_engines(), _systems(cached.all_of_them())])


def _systems(images: list[Cached]) -> str:
    return f"system images: {len(images)}, {sum(image.size for image in images) // _MIB} MiB"


def _kernel(each: Machine) -> str:
    names = [name for name in each.image.packages if name.startswith(_KERNEL)]
    return names[0].removeprefix(_KERNEL) if names else "not known"


def _engines() -> Iterator[str]:
    """The emulators that may run them, a line each."""
    try:
        for each in engine.candidates(fetch=False):
            whose = "this computer's own" if each.root is None else "from packages in the cache"
            yield f"emulator: QEMU {each.version}, {whose}"
    except BranchpointError as problem:
        yield f"emulator: none: {problem.message}"


def _named_in(folder: Path) -> Iterator[str]:
    """The machine of each recording and bundle that can be read, in a folder and some below."""
    for path in _recordings_in(folder, _DEPTH):
        with contextlib.suppress(RecordingError):
            yield of_recording(_head(path))


def _recordings_in(folder: Path, depth: int | None = None) -> Iterator[Path]:
    """All recordings and bundles in a folder, which may be one itself, and in those below it, down
    to ``depth`` (None: in all, and none may be unreadable).
    """
    seen = set()  # links may lead round in circles

    def unreadable(error: OSError) -> None:
        if depth is None:
            raise RecordingError(f"{error.filename}: {error.strerror}", "name other folders")

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        here = Path(place)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if here.suffix == ".branchpoint" or {*folders, *names} >= _HEADS:
            folders.clear()
            yield here
            continue
        if depth is not None and len(here.relative_to(folder).parts) >= depth:
            folders.clear()
        yield from (here / name for name in names if name.endswith(".bpz"))


def _head(path: Path) -> manifest.Manifest | Contents:
    """What begins a recording or a bundle.

    :raises RecordingError: when it cannot be read.
    """
    if path.is_dir():
        return manifest.decode(head_of(path), str(path))
    return contents_of(path)


def of_recording(head: manifest.Manifest | Contents) -> str:
    """The name of the machine of a recording, from what begins it or its bundle."""
    made = head.machine
    return machines.name_of(made.board, made.firmware, made.guest_image)


@machine.command()
def build() -> None:
    """Build the machine of the packages that this release names, or else of today's, and use it."""
    release.restore()
    _use(machines.note(image.built(), machines.firmware.pinned()))
    for change in release.moved():
        click.echo(f"not as in this release: {change}")


@machine.command()
def update() -> None:
    """Build a machine of the packages that Debian has today, and use it for new recordings."""
    for change in release.update():
        click.echo(str(change))
    _use(machines.note(image.built(), machines.firmware.pinned()))


@machine.command()
@click.argument("name")
def use(name: str) -> None:
    """Use a machine for new recordings; the first characters of its NAME are enough."""
    _use(machines.named(name))


def _use(chosen: Machine) -> None:
    image.choose(chosen.image.digest)
    click.echo(f"machine {chosen.name} is used for new recordings")


@machine.command(name="export")
@click.argument("file", type=click.Path(path_type=Path), metavar=f"FILE{SUFFIX}")
@click.option("--machine", "name", default="", metavar="NAME",
              help="Which one.  [default: the one for new recordings]")  # fmt: skip
def export_(file: Path, name: str) -> None:
    """Write a machine into one file, for teammates whose computers cannot build it.

    Whoever has imported it opens recordings that were shared without images.
    """
    write(name or machines.current().name, file)


def write(name: str, file: Path) -> None:
    """Write the machine of this name into a file, and say how to import it."""
    export(machines.named(name), file)
    size = file.stat().st_size / 1e6
    command = f"branchpoint machine import {shlex.quote(str(file))}"
    click.echo(f"{file}: {size:.2f} MB; machine {name}, to be imported once with: {command}")


@machine.command(name="import")
@click.argument("file", type=click.Path(path_type=Path), metavar=f"FILE{SUFFIX}")
def import_(file: Path) -> None:
    """Put a machine that somebody exported beside those on this computer."""
    click.echo(f"machine {import_machine(file).name} is here now; recordings that name it replay")


@machine.command()
@click.argument("folder", type=click.Path(path_type=Path), nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(folder: tuple[Path, ...], yes: bool) -> None:
    """Delete machines and system images that no recording in these folders and below names.

    The machine for new recordings stays. Recordings elsewhere need theirs to be imported again, and
    their system images to be built again, which may not be possible when Debian has moved on.
    Nothing is deleted when one of these folders, or a recording in them, cannot be read.
    """
    for named_folder in folder:
        if not named_folder.exists():
            raise BranchpointError(
                f"there is no {named_folder}", "name the folders that have recordings"
            )
    given = [path if path.is_dir() else path.parent for path in folder] or [Path()]
    heads = [_head(path) for place in given for path in _recordings_in(place)]
    named = {machines.current().name, *map(of_recording, heads)}
    gone = [each for each in machines.known() if each.name not in named]
    images = cached.unnamed({head.machine.system_image for head in heads})
    if not gone and not images:
        click.echo("nothing to delete: what is here is in use, or named by a recording here")
        return
    for each in gone:
        click.echo(f"{each.name}  {_kernel(each)}  {each.size // _MIB} MiB")
    if images:
        click.echo(_systems(images))
    if yes or click.confirm(f"delete {len(gone) + len(images)}?"):
        freed = machines.remove(gone) + cached.remove(images)
        click.echo(f"{freed // _MIB} MiB are free again")

"""Commands that read compose files: ``record`` and ``image``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

import branchpoint as bp
from branchpoint.cli import show
from branchpoint.cli.words import DURATION, FAILURE, SEED, WAIT, stop
from branchpoint.clock import Time
from branchpoint.errors import RecordingError
from branchpoint.guest import release
from branchpoint.guest.image import ensure_image
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.system import build, load, notes
from branchpoint.system.bundle import cached
from branchpoint.timeline.failures import Failure

_NOTHING_MATCHED = 3  # exit status of `record --until` when its time ran out first


def as_compose(command: Callable[..., None]) -> Callable[..., None]:
    """Add options that mean what they mean in ``docker compose``."""
    for option in (
        click.option("--env-file", "env_files", multiple=True, metavar="FILE",
                     type=click.Path(path_type=Path),
                     help="A file of variables, instead of .env; can be given several times."),
        click.option("--profile", "profiles", multiple=True, metavar="NAME",
                     help="Start the services of this profile, too; * stands for all."),
        click.option("-f", "--file", "files", multiple=True, metavar="FILE",
                     type=click.Path(path_type=Path),
                     help="A compose file; later ones are merged over earlier ones."),
    ):  # fmt: skip
        command = option(command)
    return command


def say_advice() -> None:
    """Say how to make room when system images take much of the disk."""
    if advice := cached.advice():
        click.echo(f"note: {advice}", err=True)


@click.command(context_settings={"show_default": True})
@click.argument("compose", type=click.Path(path_type=Path), required=False, metavar="[COMPOSE]")
@as_compose
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIRECTORY",
              help="The recording to make.  [default: NAME.branchpoint]")  # fmt: skip
@click.option("--seed", type=SEED, default=0, metavar="NUMBER",
              help="The same seed gives the same run.")  # fmt: skip
@click.option("--for", "duration", type=DURATION, default="60s",
              help="Virtual time to record, after everything is up.")  # fmt: skip
@click.option("--until", type=FAILURE,
              help="End early when this happens: exit:CONTAINER, log:CONTAINER:TEXT, "
              "event:TYPE, sdk:MESSAGE, test:COMMAND or silence:TIME; * stands for "
              "any.")  # fmt: skip
@click.option("--after", type=WAIT, default="2s",
              help="Virtual time to record after --until has happened.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a recording of that name.")
def record(
    compose: Path | None,
    files: tuple[Path, ...],
    profiles: tuple[str, ...],
    env_files: tuple[Path, ...],
    output: Path | None,
    seed: int,
    duration: Time,
    until: Failure | None,
    after: Time,
    force: bool,
) -> None:
    """Run the system of a compose file and record it.

    COMPOSE is a file, or a directory that has one (default: this one, unless -f names files).
    Times are virtual: 90, 90s, 250ms, 1m30s. --until ignores exits that the recorder itself causes
    (faults that the compose file declares). Ctrl-C stops; what was recorded until then can be
    used.

    Exit status: 3 when --until was given and did not happen, 130 after Ctrl-C.

    \b
    Examples:
      branchpoint record compose.yaml
      branchpoint record compose.yaml --seed 7 --for 2m --until 'exit:*'
      branchpoint record compose.yaml --until 'log:api:Traceback' -o night.branchpoint
      branchpoint record -f compose.yaml -f test.yaml --profile load --env-file test.env
    """
    chosen = [*([compose] if compose else []), *files] or [Path()]
    path = output
    if path is None:
        name = load(chosen, profiles or None, env_files=env_files or None).name
        path = Path(f"{name}.branchpoint")
    if path.exists() and not force:
        raise RecordingError(
            f"{path} exists already", "choose another name with -o, or replace it with --force"
        )
    try:
        run = bp.record(
            chosen, path, seed=seed, duration=duration, until=until, after=after, force=force,
            profiles=profiles or None, env_files=env_files or None,
        )  # fmt: skip
    except KeyboardInterrupt as stopped:
        for note in getattr(stopped, "__notes__", ()):
            stop(f"stopped; {note}")
        stop("stopped; nothing was recorded yet")
    with run:
        for container in run.start.containers():
            if container.health == "unhealthy":
                click.echo(f"note: container {container.name} did not become healthy", err=True)
        click.echo(show.summary(run))
        say_advice()
        failed, ended = show.failure(run) is not None, run.manifest.ended
    if until is not None and not failed:
        words = f"what --until asks for did not happen after set-up: the recording {ended}"
        click.echo(words, err=True)
        sys.exit(_NOTHING_MATCHED)


@click.command()
@click.argument("compose", type=click.Path(path_type=Path), nargs=-1, metavar="[COMPOSE]...")
@as_compose
def image(
    compose: tuple[Path, ...],
    files: tuple[Path, ...],
    profiles: tuple[str, ...],
    env_files: tuple[Path, ...],
) -> None:
    """Build the images for a recording of these systems, ahead of time.

    These are the guest image (kernel, toolbox, agent), the image of each system and its boot
    snapshot. What is in the cache already is not built again. Prints their digests, and which
    packages of the guest are not those of this release (because Debian has newer ones).
    Each COMPOSE is a system of its own; all files given with -f are one.

    \b
    Example:
      branchpoint image compose.yaml
    """
    guest = ensure_image()
    rows = [("guest image", guest.digest)]
    rows += [("", str(change)) for change in release.moved()]
    systems = [*([file] for file in compose), *([files] if files or not compose else [])]
    for chosen in systems:
        system = build(chosen or [Path()], profiles or None, env_files=env_files or None)
        notes.say(system.system)
        rows.append((f"system image of {system.system.name}", system.digest))
        snapshot = ensure_snapshot(guest, system.path, system.system.hardware)
        shape = f"{system.system.ram >> 20} + {system.size >> 20} MiB, {system.system.mhz} MHz"
        rows.append((f"boot snapshot, {shape}", snapshot.digest))
    click.echo(show.table(dict.fromkeys(rows)))
    say_advice()

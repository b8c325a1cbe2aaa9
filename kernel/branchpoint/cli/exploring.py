"""The command that searches for failures: ``explore``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from branchpoint.cli import show
from branchpoint.cli.systems import as_compose
from branchpoint.cli.words import DURATION, FAILURE, INTERRUPTED, SEED, WORKERS
from branchpoint.clock import Time
from branchpoint.errors import BranchpointError
from branchpoint.search.changes import Changed, changes
from branchpoint.search.exploration import BASE, SUFFIX, Exploration
from branchpoint.search.exploring import explore as search
from branchpoint.search.signs import SIGNALS, Signal
from branchpoint.sharing.files import replacing
from branchpoint.timeline.failures import Failure

_FOUND, _BROKEN = 1, 2  # exit status


class _Broken(click.ClickException):
    """It could not be explored, which is not the same as a finding."""

    exit_code = _BROKEN


@click.command(context_settings={"show_default": True})
@click.argument("compose", type=click.Path(path_type=Path), required=False, metavar="[COMPOSE]")
@as_compose
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIRECTORY",
              help="Where the exploration is kept; one that is there goes on.  "
              f"[default: NAME{SUFFIX}]")  # fmt: skip
@click.option("--for", "duration", type=DURATION, default="10m", help="Wall time to search.")
@click.option("--stretches", type=click.IntRange(1), metavar="NUMBER",
              help="End when so many were run.")  # fmt: skip
@click.option("--until", "failures", type=FAILURE, multiple=True,
              help="Look for this, too: exit:CONTAINER, log:CONTAINER:TEXT, event:TYPE, "
              "sdk:MESSAGE, test:COMMAND or silence:TIME; * stands for any. "
              "Can be given several times.")  # fmt: skip
@click.option("--seed", type=SEED, default=0, metavar="NUMBER",
              help="With --workers 1, the same seed gives the same exploration.")  # fmt: skip
@click.option("--length", type=DURATION, default="2s",
              help="Most virtual time of one stretch.")  # fmt: skip
@click.option("--workers", type=WORKERS, metavar="NUMBER|ADDRESS", show_default=False,
              help="Processes that run stretches, or the address of a dask.distributed cluster's "
              "scheduler, tcp://HOST:PORT.  [default: one for each core]")  # fmt: skip
@click.option("--memory", metavar="SIZE", show_default=False,
              help="Most memory for ends of stretches, such as 4g.  [default: 1g for each "
              "worker]")  # fmt: skip
@click.option("--disk", metavar="SIZE",
              help="End when all that is kept takes more than this.")  # fmt: skip
@click.option("--depth", type=DURATION, default="60s",
              help="Virtual time after set-up beyond which nothing is continued.")  # fmt: skip
@click.option("--without", type=click.Choice(SIGNALS), multiple=True,
              help="Do not look at this. Can be given several times.")  # fmt: skip
@click.option("--triage/--no-triage", "triaged", default=True,
              help="In the end, find out of each new finding since when it was likely and which "
              "fault decides; it takes a minute or two each.")  # fmt: skip
def explore(
    compose: Path | None, files: tuple[Path, ...], profiles: tuple[str, ...],
    env_files: tuple[Path, ...], output: Path | None, duration: Time, stretches: int | None,
    failures: tuple[Failure, ...], seed: int, length: Time, workers: int | str | None,
    memory: str | None, disk: str | None, depth: Time, without: tuple[Signal, ...], triaged: bool,
) -> None:  # fmt: skip
    """Search the futures of a system for failures.

    After set-up, short stretches of time are run again and again, each with everything random drawn
    anew: faults, packet loss, scheduling, what programs draw. Where something is seen for the first
    time (a line of a log, an event, an assertion, code of a program), the search goes on from
    there.

    Unexpected exits, out of memory, violated assertions, failed test commands and the end of the
    whole machine are always failures. The first of each kind becomes a recording,
    DIRECTORY/findings/N.branchpoint. Ctrl-C stops; the same command goes on.

    Exit status: 0 when nothing was found, 1 when something was or an assertion is violated (during
    set-up, too), 2 when it could not be explored, 130 after Ctrl-C.

    \b
    Examples:
      branchpoint explore compose.yaml --for 30m -o night.bpx
      branchpoint explore compose.yaml --until 'log:client:lost' --depth 2m
      branchpoint open night.bpx
      branchpoint open night.bpx --finding 1
    """
    chosen = [*([compose] if compose else []), *files] or [Path()]
    try:
        found = search(
            chosen, output, duration=duration, stretches=stretches, failures=failures, seed=seed,
            length=length, depth=depth, workers=workers, memory=memory, disk=disk, without=without,
            triaged=triaged,
            profiles=profiles or None, env_files=env_files or None,
        )  # fmt: skip
    except BranchpointError as problem:
        raise _Broken(show.safe(str(problem))) from problem
    with found:
        click.echo(summary(found))
        if found.stopped:
            sys.exit(INTERRUPTED)
        sys.exit(0 if found.clean else _FOUND)


@click.command()
@click.argument("exploration", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a page to read and to pass on (HTML).")  # fmt: skip
@click.option("--since", type=click.Path(path_type=Path), metavar="EXPLORATION",
              help="Tell in the page what has changed since this earlier one.")  # fmt: skip
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE",
              help="Write what was found as CI systems read it (XML).")  # fmt: skip
def report(exploration: Path, output: Path | None, since: Path | None, junit: Path | None) -> None:
    """Tell what an exploration has found.

    The page has no scripts: findings, assertions of programs, what was looked for, what was new and
    when, and all that was seen. Files of these names are replaced.

    Exit status: as of branchpoint explore.

    \b
    Examples:
      branchpoint report night.bpx -o report.html --junit findings.xml
      branchpoint report night.bpx --since monday.bpx -o report.html
    """
    from branchpoint.sharing.report import exploring as pages  # imports matplotlib, which is slow

    try:
        with Exploration(exploration) as found:
            click.echo(summary(found))
            changed = None
            if since is not None:
                with Exploration(since) as earlier:
                    changed = changes(found, earlier)
                click.echo(_told(changed))
            if output is not None:
                _write(output, pages.report(found, changed))
            if junit is not None:
                _write(junit, pages.junit(found))
            status = 0 if found.clean else _FOUND
    except BranchpointError as problem:
        raise _Broken(show.safe(str(problem))) from problem
    sys.exit(status)


def _told(changed: list[Changed]) -> str:
    """What has changed, a line each."""
    lines = [
        show.safe(f"  {each.change:9} {each.failure}: {each.kind} ({each.before} → {each.now})")
        for each in changed
    ]
    return "\n".join(["", "Since the earlier exploration:", *(lines or ["  nothing was found"])])


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode("utf-8", "replace"))


def summary(found: Exploration) -> str:
    """An exploration in a few lines: what was run, what was found, and what to do next."""
    lines = [show.safe(repr(found))]
    if found.findings:
        for finding in found.findings:
            told = found.triage(finding.number)
            if told is not None:
                lines += ["", show.safe(f"Finding {finding.number}, {finding.failure}:")]
                lines += [show.safe(f"  {line}") for line in told.lines]
        first = shlex.quote(str(found.findings[0].path))
        lines += ["", "Go on with:", f"  branchpoint open {first}"]
    elif found.violated:
        lines += ["", "Assertions are violated. Look at set-up:"]
        lines.append(f"  branchpoint open {shlex.quote(str(found.path / BASE))}")
    else:
        lines += ["", f"Nothing was found. To search on: the same command, {found.path} goes on."]
    return "\n".join(lines)

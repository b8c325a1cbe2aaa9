"""The commands: their options, help texts and actions."""

from __future__ import annotations

import errno
import io
import json
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import branchpoint as bp
from branchpoint import progress
from branchpoint.cache import cache_dir
from branchpoint.cli import exploring, show
from branchpoint.cli.explaining import explain
from branchpoint.cli.machine import machine, of_recording, write
from branchpoint.cli.systems import image, record, say_advice
from branchpoint.cli.words import DURATION, INSTANT, INSTANT_HELP, Instant, narrowed, stop
from branchpoint.clock import Time
from branchpoint.errors import BranchpointError, ProcessTimeout
from branchpoint.machine import engine
from branchpoint.search.exploration import HEAD, Exploration
from branchpoint.sharing.bundle.differences import differences
from branchpoint.sharing.bundle.machines import SUFFIX
from branchpoint.sharing.bundle.opening import briefly, unpack
from branchpoint.sharing.bundle.share import remarks
from branchpoint.sharing.report.export import format_of
from branchpoint.timeline.commands.process import Process
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.replaying.history import MOST_RAW


class _Failure(click.ClickException):
    """An error of ours, shown to the user: what happened, and what to do next."""

    def __init__(self, error: BranchpointError) -> None:
        super().__init__(show.safe(str(error)))


class _Commands(click.Group):
    """Lists commands in the order in which they are defined; shows our errors as messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def main(self, *args: Any, **options: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # what the terminal cannot show is escaped
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BranchpointError as error:
            raise _Failure(error) from error
        except OSError as error:
            if error.errno is None or error.errno == errno.EPIPE:
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
            what = error.filename or ("the output cannot be written" if full else "")
            said = f"{what}: {error.strerror}" if what else str(error.strerror)
            raise click.ClickException(show.safe(said)) from error
        except KeyboardInterrupt:
            stop("stopped")


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Help for a command: branchpoint COMMAND --help. Completion in bash: "
    'eval "$(_BRANCHPOINT_COMPLETE=bash_source branchpoint)" (or zsh_source, fish_source).',
)
def main() -> None:
    """Record a whole distributed system, then go to any instant of it.

    \b
    branchpoint record compose.yaml --seed 7 --until 'exit:*'
    branchpoint open system.branchpoint
    branchpoint run system.branchpoint --at failure-1s --container db.1 -- 'ps aux'
    """


main.add_command(record)
main.add_command(exploring.explore)
main.add_command(exploring.report)

_RECORDING = click.argument("recording", type=click.Path(path_type=Path), metavar="RECORDING")


@main.command("open")
@_RECORDING
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIRECTORY",
              help="Where to unpack a bundle.  [default: NAME.branchpoint, next to "
              "the bundle]")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Use the boot snapshot of a whole bundle instead of booting here. The emulator "
              "loads it unchecked: use this only for bundles from people you trust.")  # fmt: skip
@click.option("--finding", type=click.IntRange(1), metavar="NUMBER",
              help="Open this finding of an exploration.")  # fmt: skip
def open_(recording: Path, output: Path | None, trust: bool, finding: int | None) -> None:
    """Show what a recording is, how it ended, and what to do next.

    A bundle (see branchpoint share) is first checked and unpacked, together with its notebook.
    Existing files are not changed. Of an exploration (see branchpoint explore), its findings are
    listed, or one of them is shown.

    \b
    Examples:
      branchpoint open aria.branchpoint
      branchpoint open triage.bpz
      branchpoint open night.bpx --finding 1
    """
    if (output is not None or trust) and recording.is_dir():
        raise click.UsageError(f"-o and --trust are for bundles, and {recording} is a directory")
    if finding is not None or (recording / HEAD).is_file():
        with Exploration(recording) as found:
            if finding is None:
                click.echo(exploring.summary(found))
                return
            recording = found.finding(finding).path
    if output is not None or trust:
        recording = unpack(recording, output, trust=trust).path
    with bp.open(recording) as run:
        click.echo(show.summary(run))
        for warning in dict.fromkeys([*run.warnings, *differences(run)]):
            click.echo(show.safe(f"warning: {warning}"), err=True)


@main.command(context_settings={"show_default": True})
@_RECORDING
@click.option("--at", type=INSTANT, required=True, help=f"When: {INSTANT_HELP}.")
@click.option("-c", "--container", default="", show_default=False,
              help="Where: a container, or a service with one container.  [default: the guest, "
              "outside of all containers]")  # fmt: skip
@click.option("--user", metavar="USER",
              help="As whom: a name or a number, with : and a group behind it.  [default: the "
              "container's user]")  # fmt: skip
@click.option("--privileged", is_flag=True,
              help="As root, with all rights, also those that the container lacks.")  # fmt: skip
@click.option("--timeout", type=DURATION, default="60s",
              help="Longest virtual time to wait for the command.")  # fmt: skip
@click.option("--background-for", type=DURATION,
              help="Let the command run for this virtual time, then show what it wrote, even if it "
              "still runs.")  # fmt: skip
@click.option("--check", is_flag=True,
              help="Run it twice, the second time in a fresh emulator and from an earlier "
              "checkpoint, and check that output, events and the state of the machine are the "
              "same.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True,
              help="Write one JSON object instead: stdout, stderr, exit_code (null while it runs), "
              "the moments at which it began and ended, notes.")  # fmt: skip
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...")
def run(
    recording: Path, at: Instant, container: str, user: str | None, privileged: bool,
    timeout: Time, background_for: Time | None, check: bool, as_json: bool,
    command: tuple[str, ...],
) -> None:  # fmt: skip
    """Run a shell command at an instant of a recording.

    It runs in a new branch: the recording does not change, and the same command at the same
    instant has the same output again. Tools that the container's image lacks (tcpdump, strace,
    gdb, ip, ss, ...) come from the guest's toolbox. One argument is a line for the shell, several
    are a program and its arguments. It runs as the container's user, with the container's rights;
    without --container, as root.

    Output and exit status are those of the command (128 + n when signal n ended it). Status 1 can
    also be an error of branchpoint itself. With --background-for, 0 when it was still running.

    \b
    Examples:
      branchpoint run aria.branchpoint --at 1.5 -c standby.replicator.1 -- 'ps aux'
      branchpoint run aria.branchpoint --at failure-1s -c standby.replicator.1 \\
          --background-for 5s -- tcpdump -nn -X tcp and port 7400
      branchpoint run aria.branchpoint --at end -- 'dmesg | tail'
    """
    given = click.get_current_context().get_parameter_source("timeout")
    if background_for is not None and given is ParameterSource.COMMANDLINE:
        raise click.UsageError("give --timeout or --background-for, not both")
    script = command[0] if len(command) == 1 else shlex.join(command)
    if not sys.stderr.isatty():  # a file or pipe gets the command's own errors only
        progress.use(lambda task, *, final: None)
    with bp.open(recording) as opened:
        moment = at.moment(opened)
        branch = moment.branch()
        process = branch.run_command(script, container, raw=True, user=user, privileged=privileged)
        try:
            if background_for is None:
                process.wait(timeout)
            else:
                branch.wait(background_for)
        except ProcessTimeout:
            raise ProcessTimeout(
                f"{script!r} was still running after {timeout} of virtual time",
                "give it more time with --timeout, or show what it has written with "
                "--background-for",
            ) from None
        finally:
            notes = list(_notes(process, script, moment))
            if as_json:
                click.echo(json.dumps(show.process(process, moment, branch.end, notes)))
            else:
                for stream, file in (("out", sys.stdout.buffer), ("err", sys.stderr.buffer)):
                    file.write(process.raw(stream))
                    file.flush()
                for note in notes:
                    click.echo(f"branchpoint: {note}", err=True)
        status = process.exit_code
        if check:
            click.echo(f"branchpoint: {branch.check()}", err=True)
    sys.exit(status or 0)


def _notes(process: Process, script: str, moment: Moment) -> Iterator[str]:
    """What a user should know about a command beside its output."""
    if any(len(process.raw(stream)) >= MOST_RAW for stream in ("out", "err")):
        yield f"{script!r} wrote more; only the first {MOST_RAW >> 20} MiB are kept"
    if process.dead_container:
        yield (
            f"{process.container} was dead at {moment}; the command ran with its files and network"
        )
    if process.remark:
        yield process.remark


@main.command()
@_RECORDING
@click.option("-c", "--container", multiple=True, metavar="PATTERN",
              help="Only events of these containers or services.")  # fmt: skip
@click.option("--type", "types", multiple=True, metavar="PATTERN",
              help="Only these types: log, exit, start, restart, health, error, ...")  # fmt: skip
@click.option("--text", help="Only events whose text contains this.")
@click.option("--start", type=INSTANT, help=f"Only events from here on: {INSTANT_HELP}.")
@click.option("--end", type=INSTANT, help="Only events up to here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def events(
    recording: Path, container: tuple[str, ...], types: tuple[str, ...], text: str | None,
    start: Instant | None, end: Instant | None, as_json: bool,
) -> None:  # fmt: skip
    """Show what happened, and when.

    Lists output lines, starts and exits of containers, and the kernel's log. Columns: virtual time
    in seconds (for --at), container, type, text. An event must match all options; of an option
    that is given several times, one value is enough. The container "kernel" is the guest's kernel.

    \b
    Examples:
      branchpoint events aria.branchpoint --type exit
      branchpoint events aria.branchpoint -c 'standby.*' --start failure-10s
      branchpoint events aria.branchpoint --text Traceback --json | jq .text
    """
    with bp.open(recording) as opened:
        found = narrowed(
            opened, container, types, text=text, start=start and start.bound(opened),
            end=end and end.bound(opened),
        )  # fmt: skip
        if not found:
            click.echo("no events match all of these options", err=True)
        if as_json:
            lines = (json.dumps(show.record(event)) for event in found)
        else:
            names = ["kernel", *(c.name for c in opened.manifest.containers)]
            width = max(len(name) for name in names)
            lines = (show.row(event, width) for event in found)
        for line in lines:
            click.echo(line)


@main.command()
@_RECORDING
@click.option("--at", type=INSTANT, default="end", show_default=True,
              help=f"When: {INSTANT_HELP}.")  # fmt: skip
def containers(recording: Path, at: Instant) -> None:
    """List the containers at an instant: state, address, image.

    \b
    Example:
      branchpoint containers aria.branchpoint --at failure-1s
    """
    with bp.open(recording) as opened:
        click.echo(show.container_table(at.moment(opened).containers()))


main.add_command(explain)
main.add_command(image)


@main.command()
@_RECORDING
@click.option("--notebook", type=click.Path(path_type=Path), metavar="NOTEBOOK",
              help="A notebook to put into the bundle.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="BUNDLE",
              help="The file to make.  [default: the recording's name with .bpz]")  # fmt: skip
@click.option(
    "--whole",
    is_flag=True,
    help="Include its machine, the system's image and the boot snapshot: about 120 MB for the "
    "demo.",
)
@click.option(
    "--machine",
    "machine_too",
    is_flag=True,
    help="Also write its machine into a file of its own (.bpm), to be sent once: about 55 MB.",
)
def share(
    recording: Path, notebook: Path | None, output: Path | None, whole: bool, machine_too: bool
) -> None:
    """Put a recording and its notebook into one file (a bundle) that others can open.

    It has the inputs, events, curves and digests, but no checkpoints: a replay makes them again.
    To replay it, others need its machine, which they import once, and the system's image, which
    they build from the compose file. A --whole bundle has both.

    \b
    Examples:
      branchpoint share aria.branchpoint --notebook aria-triage.ipynb -o triage.bpz
      branchpoint share aria.branchpoint --machine
      branchpoint share aria.branchpoint --whole
    """
    with bp.open(recording) as run:
        path = bp.share(run, output, notebook=notebook, whole=whole)
        for warning in [*run.warnings, *(remarks(notebook, path) if notebook else [])]:
            click.echo(show.safe(f"warning: {warning}"), err=True)
        needed = of_recording(run.manifest)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB; open it with: "
               f"branchpoint open {shlex.quote(str(path))}")  # fmt: skip
    if machine_too:
        write(needed, path.with_suffix(SUFFIX))
    elif not whole:
        file = shlex.quote(str(path.with_suffix(SUFFIX)))
        click.echo(f"to replay it, others need machine {needed} (branchpoint machine export {file} "
                   f"--machine {needed}) and the system's image (branchpoint image COMPOSE); a "
                   "--whole bundle has both")  # fmt: skip


@main.command()
@_RECORDING
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE",
              help="The extension sets the format: .html, .json, .csv or .parquet.")  # fmt: skip
@click.option("--packets", multiple=True, metavar="CONTAINER",
              help="Add to a report the packets of this container from one second before the "
              "failure (or the end) to one second after it. This runs the machine.")  # fmt: skip
@click.option("--schedule", type=(INSTANT, INSTANT), metavar="START END",
              help="Add to a trace which thread had the processor between these instants. This "
              "runs the machine.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a file of that name.")
def export(
    recording: Path,
    output: Path,
    packets: tuple[str, ...],
    schedule: tuple[Instant, Instant] | None,
    force: bool,
) -> None:
    """Write a recording in a format for other programs.

    .html is a report to read and to pass on: one page without scripts, with the timeline, stored
    curves, and the log around the failure, faults and exits. .json is a trace for Perfetto or
    chrome://tracing. .csv and .parquet are the table of events.

    \b
    Examples:
      branchpoint export aria.branchpoint -o report.html --packets standby.replicator.1
      branchpoint export triage.bpz -o timeline.json
      branchpoint export aria.branchpoint -o trace.json --schedule failure-1s failure
    """
    if output.exists() and not force:
        raise BranchpointError(
            f"{output} exists already", "choose another name with -o, or replace it with --force"
        )
    format_of(output, packets=bool(packets), schedule=schedule is not None)
    with briefly(recording) as run:
        moment = show.failure(run) or run.end
        captures = {
            f"{name}, around {moment}": moment.rewind(1).extract_pcap(name, 2) for name in packets
        }
        turns = None
        if schedule is not None:
            turns = run.schedule(*(instant.moment(run) for instant in schedule))
        path = bp.export(run, output, packets=captures, schedule=turns)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


@main.command()
@click.argument("recording", type=click.Path(path_type=Path), metavar="[RECORDING]",
                required=False)  # fmt: skip
@click.option("--notebook", type=click.Path(path_type=Path), metavar="NOTEBOOK",
              help="Run this again and compare its outputs.")  # fmt: skip
def verify(recording: Path | None, notebook: Path | None) -> None:
    """Verify that a recording replays exactly, and that a notebook gives the same outputs again.

    The recording (a bundle is unpacked for this) is replayed from beginning to end, and all known
    states of the machine (memory, registers, devices) and all events are compared. Then each
    checkpoint is restored, in shuffled order, and run to the next known state: first all in one
    emulator, then each in a fresh one.
    A copy of the notebook is run again; each output must be equal to the saved one, byte for byte.
    With both, the notebook runs on that recording.

    Exit status: 1 when anything differs.

    \b
    Examples:
      branchpoint verify triage.bpz
      branchpoint verify aria.branchpoint --notebook aria-triage.ipynb
      branchpoint verify --notebook aria-triage.ipynb
    """
    if recording is None and notebook is None:
        raise click.UsageError("name a recording, a bundle or, with --notebook, a notebook")
    sound = True
    if recording is not None:
        verified = bp.verify(recording)
        click.echo(show.safe(str(verified)))
        sound = bool(verified)
    if notebook is not None:
        rerun = bp.verify_notebook(notebook, recording)
        click.echo(show.safe(str(rerun)))
        sound = sound and bool(rerun)
    if not sound:
        sys.exit(1)


@main.command()
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Wall time for the long tests; the other tests take about two minutes more.",
)
@click.option("--foreign", is_flag=True,
              help="Also test with programs of others: stress-ng, LuaJIT, numpy, LAPACK and Python "
              "with their own tests. Takes as long again, plus the time to record them; fetches "
              "40 MB of packages once.")  # fmt: skip
@click.option("--all", "all_", is_flag=True,
              help="The same as --foreign, and a JVM and Node: 90 MB more.")  # fmt: skip
def doctor(minutes: float, foreign: bool, all_: bool) -> None:
    """Test whether replays are exact on this computer.

    Runs a guest that is made to expose every source of nondeterminism many times, from different
    checkpoints and with stops in between, and compares all memory and registers. Then does the
    same with each of our cures (protections against nondeterminism) switched off, which must be
    detected. Last, it records a small system, makes branches with commands, runs each branch again,
    and verifies the recording. Exit status: 1 when a replay diverged.

    \b
    Examples:
      branchpoint doctor --minutes 10
      branchpoint doctor --foreign
    """
    from branchpoint.doctor import examine  # loads what no other command needs
    from branchpoint.torture.systems import FOREIGN, RUNTIMES

    wanted = [FOREIGN] * (foreign or all_) + [RUNTIMES] * all_
    found = examine(minutes * 60, wanted)
    click.echo(found)
    say_advice()
    if not found.healthy:
        sys.exit(1)


@main.command()
def version() -> None:
    """Show the versions of Branchpoint and of the programs it uses."""
    try:
        own = version_of("branchpoint")
    except PackageNotFoundError:
        own = "run from source"
    rows = [("branchpoint", own), ("python", sys.version.split()[0])]
    try:
        found = engine.find()
        rows.append(("qemu", f"{found.version}, {found.qemu}, binary {found.binary_digest}"))
        rows.append(("timekeeper", found.source_digest))
    except BranchpointError as error:
        rows.append(("qemu", error.message))
    click.echo(show.table([*rows, ("cache", str(cache_dir()))]))


main.add_command(machine)

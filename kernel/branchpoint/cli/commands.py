"""The commands themselves."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, NoReturn

import click

import branchpoint as bp
from branchpoint import progress
from branchpoint.cache import cache_dir
from branchpoint.cli import show
from branchpoint.cli.words import DURATION, FAILURE, INSTANT, INSTANT_HELP, Instant, narrowed
from branchpoint.clock import Time
from branchpoint.errors import BranchpointError, ProcessTimeout, RecordingError
from branchpoint.guest.image import ensure_image
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.machine import engine
from branchpoint.sharing.bundle.differences import differences
from branchpoint.sharing.bundle.opening import briefly, unpack
from branchpoint.sharing.bundle.share import remarks
from branchpoint.system import build, load
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.replaying.history import MOST_RAW

_NOTHING_MATCHED = 3  # exit status of `record --until` when its time ran out first
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class _Failure(click.ClickException):
    """An error for the user's eyes: what happened, and the next step."""

    def __init__(self, error: BranchpointError) -> None:
        super().__init__(show.safe(str(error)))


class _Commands(click.Group):
    """Commands in the order in which one meets them; errors in words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BranchpointError as error:
            raise _Failure(error) from error
        except KeyboardInterrupt:
            _stop("stopped")


def _stop(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(_INTERRUPTED)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command explains itself: branchpoint COMMAND --help. Completion in bash: "
    'eval "$(_BRANCHPOINT_COMPLETE=bash_source branchpoint)" (zsh_source, fish_source likewise).',
)
def main() -> None:
    """Record a whole distributed system, then visit any instant of it.

    \b
    branchpoint record compose.yaml --seed 7 --until 'exit:*'
    branchpoint open system.branchpoint
    branchpoint run system.branchpoint --at failure-1s --container db.1 -- 'ps aux'
    """


_RECORDING = click.argument("recording", type=click.Path(path_type=Path), metavar="RECORDING")


@main.command(context_settings={"show_default": True})
@click.argument("compose", type=click.Path(path_type=Path), metavar="COMPOSE")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIRECTORY",
              help="The recording to make.  [default: NAME.branchpoint]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0,
              help="Equal seeds give equal runs.")  # fmt: skip
@click.option("--for", "duration", type=DURATION, default="60s",
              help="Virtual time to record, after everything is up.")  # fmt: skip
@click.option("--until", type=FAILURE,
              help="End early, when this happens: exit:CONTAINER, log:CONTAINER:TEXT or "
              "event:TYPE, with * for any.")  # fmt: skip
@click.option("--after", type=DURATION, default="2s",
              help="How much more to record then.")  # fmt: skip
def record(
    compose: Path,
    output: Path | None,
    seed: int,
    duration: Time,
    until: Failure | None,
    after: Time,
) -> None:
    """Run the system of a compose file and record it.

    Times are virtual: 90, 90s, 250ms, 1m30s. Exits that the recorder itself causes (the faults that
    the compose file declares) do not count for --until. Ctrl-C ends it; what was recorded so far
    is good.

    Exit status: 3 when --until was given and nothing matched, 130 after Ctrl-C.

    \b
    Examples:
      branchpoint record compose.yaml
      branchpoint record compose.yaml --seed 7 --for 2m --until 'exit:*'
      branchpoint record compose.yaml --until 'log:api:Traceback' -o night.branchpoint
    """
    system = load(compose)
    for note in system.notes:
        click.echo(f"note: {system.file}:{note.line}: {note.text}", err=True)
    path = output or Path(f"{system.name}.branchpoint")
    if path.exists():
        raise RecordingError(f"{path} exists already", "name another with -o, or remove it first")
    try:
        run = bp.record(compose, path, seed=seed, duration=duration, until=until, after=after)
    except KeyboardInterrupt:
        if path.exists():
            _stop(f"stopped; what was recorded is in {path} and can be opened")
        _stop("stopped; nothing was recorded yet")
    with run:
        click.echo(show.summary(run))
        failed, ended = show.failure(run) is not None, run.manifest.ended
    if until is not None and not failed:
        words = f"what --until asks for did not happen after set-up: it {ended}"
        click.echo(words, err=True)
        sys.exit(_NOTHING_MATCHED)


@main.command("open")
@_RECORDING
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIRECTORY",
              help="The recording that a bundle becomes.  [default: NAME.branchpoint, next to "
              "it]")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Use the boot snapshot of a whole bundle and do not boot here. The emulator "
              "loads it as it is: only from people whom you trust.")  # fmt: skip
def open_(recording: Path, output: Path | None, trust: bool) -> None:
    """Say what a recording is, how it ended, and how to go on.

    A bundle (see branchpoint share) is checked and unpacked before, and its notebook with it;
    files that exist are not changed.

    \b
    Examples:
      branchpoint open aria.branchpoint
      branchpoint open triage.bpz
    """
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
@click.option("--timeout", type=DURATION, default="60s",
              help="Virtual time after which it is given up.")  # fmt: skip
@click.option("--background-for", type=DURATION,
              help="Let it run beside the system for this long, then show what it wrote, ended "
              "or not.")  # fmt: skip
@click.option("--check", is_flag=True,
              help="Run it twice, the second time in a fresh emulator and from an earlier "
              "checkpoint: output, events and the whole machine must be the same.")  # fmt: skip
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...")
def run(
    recording: Path, at: Instant, container: str, timeout: Time, background_for: Time | None,
    check: bool, command: tuple[str, ...],
) -> None:  # fmt: skip
    """Run a shell command at an instant of a recording.

    It runs in a branch of its own: the recording does not change, and the same command at the
    same instant says the same again. Tools that the container's image lacks (tcpdump, strace,
    gdb, ip, ss, ...) come from the guest's toolbox. One argument is a line for the shell, several
    are a program and its arguments.

    The output is that of the command, and so is the exit status (128 + n when signal n ended it);
    1 can also be an error of ours. With --background-for, 0 when it was still running.

    \b
    Examples:
      branchpoint run aria.branchpoint --at 1.5 -c standby.replicator.1 -- 'ps aux'
      branchpoint run aria.branchpoint --at failure-1s -c standby.replicator.1 \\
          --background-for 5s -- tcpdump -nn -X tcp and port 7400
      branchpoint run aria.branchpoint --at end -- 'dmesg | tail'
    """
    script = command[0] if len(command) == 1 else shlex.join(command)
    if not sys.stderr.isatty():  # then it belongs to the command
        progress.use(lambda task, *, final: None)
    with bp.open(recording) as opened:
        moment = at.moment(opened)
        branch = moment.branch()
        process = branch.run_command(script, container, raw=True)
        try:
            if background_for is None:
                process.wait(timeout)
            else:
                branch.wait(background_for)
        except ProcessTimeout:
            raise ProcessTimeout(
                f"{script!r} was still running after {timeout} of virtual time",
                "give it more with --timeout, or take what it wrote until then with "
                "--background-for",
            ) from None
        finally:
            for stream, file in (("out", sys.stdout.buffer), ("err", sys.stderr.buffer)):
                file.write(process.raw(stream))
                file.flush()
                if len(process.raw(stream)) >= MOST_RAW:
                    click.echo(
                        f"branchpoint: {script!r} wrote more; {MOST_RAW >> 20} MiB are kept",
                        err=True,
                    )
            if process.dead_container:
                click.echo(
                    f"branchpoint: {process.container} was dead at {moment}; this ran in its "
                    "files and network",
                    err=True,
                )
            if process.remark:
                click.echo(f"branchpoint: {process.remark}", err=True)
        status = process.exit_code
        if check:
            click.echo(f"branchpoint: {branch.check()}", err=True)
    sys.exit(status or 0)


@main.command()
@_RECORDING
@click.option("-c", "--container", multiple=True, metavar="PATTERN",
              help="Of these containers or services.")  # fmt: skip
@click.option("--type", "types", multiple=True, metavar="PATTERN",
              help="Of these types: log, exit, start, restart, health, error, ...")  # fmt: skip
@click.option("--text", help="With this in the text.")
@click.option("--start", type=INSTANT, help=f"From here on: {INSTANT_HELP}.")
@click.option("--end", type=INSTANT, help="Up to here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def events(
    recording: Path, container: tuple[str, ...], types: tuple[str, ...], text: str | None,
    start: Instant | None, end: Instant | None, as_json: bool,
) -> None:  # fmt: skip
    """Show what happened, and when.

    Output lines, the life cycle of containers, the kernel's log. Columns: virtual time in seconds
    (good for --at), who, what, text. Options narrow it down; one given several times means any of
    these. The container "kernel" is the guest's kernel.

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
            click.echo("no events: nothing happened that fits all of these options", err=True)
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


@main.command()
@click.argument("compose", type=click.Path(path_type=Path), nargs=-1, required=True,
                metavar="COMPOSE...")  # fmt: skip
def image(compose: tuple[Path, ...]) -> None:
    """Build what a recording of these systems needs, ahead of time.

    That is the guest image (kernel, toolbox, agent), the image of each system and the boot
    snapshot. What is in the cache already is not built again. Prints their digests.

    \b
    Example:
      branchpoint image compose.yaml
    """
    guest = ensure_image()
    rows = [("guest image", guest.digest)]
    for file in compose:
        system = build(file)
        rows.append((f"system image of {system.system.name}", system.digest))
        snapshot = ensure_snapshot(guest, system.path, system.system.ram)
        shape = f"{system.system.ram >> 20} + {system.size >> 20} MiB"
        rows.append((f"boot snapshot, {shape}", snapshot.digest))
    click.echo(show.table(dict.fromkeys(rows)))


@main.command()
@_RECORDING
@click.option("--notebook", type=click.Path(path_type=Path), metavar="NOTEBOOK",
              help="To go with it.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="BUNDLE",
              help="The file to make.  [default: the recording's name with .bpz]")  # fmt: skip
@click.option(
    "--whole",
    is_flag=True,
    help="With the images of its machine and its boot snapshot: some 100 MB.",
)
def share(recording: Path, notebook: Path | None, output: Path | None, whole: bool) -> None:
    """Put a recording and its notebook into one file, for others to open.

    It has the inputs, events, curves and digests, but no checkpoints: a replay makes them again.
    To replay, others need the same images, or a --whole bundle, and the same QEMU.

    \b
    Examples:
      branchpoint share aria.branchpoint --notebook triage.ipynb -o triage.bpz
      branchpoint share aria.branchpoint --whole
    """
    with bp.open(recording) as run:
        path = bp.share(run, output, notebook=notebook, whole=whole)
        for warning in [*run.warnings, *(remarks(notebook, path) if notebook else [])]:
            click.echo(show.safe(f"warning: {warning}"), err=True)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB; open it with: "
               f"branchpoint open {shlex.quote(str(path))}")  # fmt: skip


@main.command()
@_RECORDING
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE",
              help="Its ending says the form: .html, .json, .csv or .parquet.")  # fmt: skip
@click.option("--packets", multiple=True, metavar="CONTAINER",
              help="In a report: what went over this container's network in the second before "
              "the failure (or the end) and the one after; runs the machine.")  # fmt: skip
def export(recording: Path, output: Path, packets: tuple[str, ...]) -> None:
    """Write a recording in a form that other programs read.

    .html is a report to read and to pass on: one page without script, with the time line, stored
    curves, and the log around the failure, faults and exits. .json is a trace for Perfetto or
    chrome://tracing. .csv and .parquet are the table of events. A file that exists is replaced.

    \b
    Examples:
      branchpoint export aria.branchpoint -o report.html --packets standby.replicator.1
      branchpoint export triage.bpz -o timeline.json
    """
    with briefly(recording) as run:
        moment = show.failure(run) or run.end
        captures = {
            f"{name}, around {moment}": moment.rewind(1).extract_pcap(name, 2) for name in packets
        }
        path = bp.export(run, output, packets=captures)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


@main.command()
@click.argument("recording", type=click.Path(path_type=Path), metavar="[RECORDING]",
                required=False)  # fmt: skip
@click.option("--notebook", type=click.Path(path_type=Path), metavar="NOTEBOOK",
              help="Run this again and compare its outputs.")  # fmt: skip
def verify(recording: Path | None, notebook: Path | None) -> None:
    """Prove that a recording replays, and that a notebook says the same again.

    A recording, or the one in a bundle, is replayed from its beginning to its end. Every known
    state of the machine (memory, registers, devices) is compared, and every event. Then every
    checkpoint is restored, in shuffled order, and run on to the next known state: all in one
    emulator, and each in a fresh one.
    A notebook is run again in a copy; each output must come out byte for byte as it was saved.
    With both, the notebook runs on that recording.

    Exit status: 1 when anything differs.

    \b
    Examples:
      branchpoint verify triage.bpz
      branchpoint verify aria.branchpoint --notebook triage.ipynb
      branchpoint verify --notebook triage.ipynb
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
    help="Wall time for the soaks; some two minutes more go into what is done once.",
)
@click.option("--foreign", is_flag=True,
              help="Also programs that others wrote: stress-ng, LuaJIT, numpy, LAPACK and Python "
              "with their own tests. As long again, and the time to record them; 40 MB of "
              "packages are fetched once.")  # fmt: skip
@click.option("--all", "all_", is_flag=True,
              help="These and a JVM and Node: 90 MB more.")  # fmt: skip
def doctor(minutes: float, foreign: bool, all_: bool) -> None:
    """Find out whether replays are exact on this computer.

    Runs a guest made to expose every source of chance many times over, from different
    checkpoints and with looks in between, and compares all memory and registers; does the same
    with each of our cures off, which must be noticed. Last it records a little system, branches
    off it with commands, runs each branch again, and verifies the recording. Exit status: 1 when
    a replay diverged.

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
    if not found.healthy:
        sys.exit(1)


@main.command()
def version() -> None:
    """Say the versions of Branchpoint and of what it runs on."""
    try:
        own = version_of("branchpoint")
    except PackageNotFoundError:
        own = "run from its source"
    rows = [("branchpoint", own), ("python", sys.version.split()[0])]
    try:
        found = engine.find()
        rows.append(("qemu", f"{found.version}, {found.qemu}, binary {found.binary_digest}"))
        rows.append(("timekeeper", found.source_digest))
    except BranchpointError as error:
        rows.append(("qemu", error.message))
    click.echo(show.table([*rows, ("cache", str(cache_dir()))]))

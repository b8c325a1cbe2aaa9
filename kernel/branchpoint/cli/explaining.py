"""The command that says why a recording failed: ``explain``."""

from __future__ import annotations

from pathlib import Path

import click

import branchpoint as bp
from branchpoint.cli import show
from branchpoint.cli.words import FAILURE, WORKERS
from branchpoint.timeline.failures import Failure

_COLUMNS = 100


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.argument("failure", type=FAILURE, required=False)
@click.option("--short", is_flag=True, help="Only the paragraph, without what it rests on.")
@click.option(
    "--decisions",
    is_flag=True,
    help="Also turn each condition of Python programs, to see which one decides; this "
    "takes a few minutes more.",
)
@click.option("--workers", type=WORKERS, metavar="NUMBER|ADDRESS", show_default=False,
              help="Processes that run futures, or the address of a dask.distributed cluster's "
              "scheduler, tcp://HOST:PORT.  [default: one for each core]")  # fmt: skip
def explain(
    recording: Path,
    failure: Failure | None,
    short: bool,
    decisions: bool,
    workers: int | str | None,
) -> None:
    """Say why a recording failed: since when it was likely, which fault and which code decided.

    FAILURE is exit:CONTAINER, log:CONTAINER:TEXT, event:TYPE, sdk:MESSAGE, test:COMMAND or
    silence:TIME; without it, the failure that ended the recording is meant. Hundreds of futures are
    run, which takes a few minutes; they are kept with the recording, so that asking again is quick.
    Ctrl-C stops; the same command goes on.

    \b
    Examples:
      branchpoint explain aria.branchpoint
      branchpoint explain aria.branchpoint 'exit:standby.*' --short
    """
    with bp.open(recording) as run:
        found = run.explain(failure, decisions=decisions, workers=workers)
        click.echo(click.wrap_text(show.safe(found.words), _COLUMNS))
        if not short:
            click.echo(show.safe(repr(found).removeprefix(found.words)))

"""Commands as a user types them, and a recording for them."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from recordings import ORIGIN, SECOND, event, head

from branchpoint.cli import main
from branchpoint.timeline.directory import RecordingFiles

CRASH = ORIGIN + 8 * SECOND + 5


def cli(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="branchpoint")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def crashed(folder: Path) -> Path:
    """A recording of ten seconds in which db.1 crashed at 8.000000005."""
    path = folder / "three.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        files.events.add(
            [
                event(0.5, "pid 7", source="life", type="container.start", fields={"pid": "7"}),
                event(1, "ready"),
                event(2, "tick \x1b[31mred\x1b[0m\x07", stream="err"),
                event(3, "veth0: up", source="kernel", container=""),
                event(8.000000005, "exited with 1", source="life", type="container.exit",
                      fields={"code": "1", "signal": "0"}),
            ]
        )  # fmt: skip
        files.save(head(ended="db.1 container.exit", failure=CRASH))
    return path

"""Everything that is done with a recording, an image, or messages of a guest, except running code.

Each step may work or refuse with a message (:class:`BranchpointError`); any other error is a bug of
ours and is passed to the caller.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import branchpoint as bp
from branchpoint.cli import show
from branchpoint.errors import BranchpointError
from branchpoint.events.eventfile import EventFile
from branchpoint.futures import curves
from branchpoint.sharing.bundle.opening import unpack
from branchpoint.sharing.bundle.share import remarks
from branchpoint.sharing.proof import hygiene
from branchpoint.system.bundle.layout import system_tree
from branchpoint.system.compose import reading as compose
from branchpoint.system.images.finding import find_images
from branchpoint.timeline import containers
from branchpoint.timeline.capture.packets import Clock, Packets
from branchpoint.timeline.commands import terminal
from branchpoint.timeline.commands.process import Process
from branchpoint.timeline.failures import failure
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import History
from branchpoint.timeline.replaying.player import Player
from mutants.frames import Drained
from mutants.outbox import Memory

_CURVES = 4  # curves of one recording that are checked completely


class Silent(Exception):
    """Something was lost without any message."""


def attempt(*steps: Callable[[], Any]) -> int:
    """Do all steps, even if some fail; returns how many worked."""
    worked = 0
    for step in steps:
        try:
            step()
            worked += 1
        except BranchpointError as error:
            assert str(error).strip()
    return worked


# -- recordings and bundles


def recording(
    path: Path, room: Path, *, pictures: bool, pages: bool = True, curves_there: int = 0
) -> None:
    """Open a recording or a bundle, look at all that is in it, export it, and share it.

    Files are written to ``room``. With ``pictures``, also draws what takes long; with ``pages``,
    reads every memory page. ``curves_there`` were in it before it was damaged.

    :raises BranchpointError: when it cannot be opened.
    :raises Silent: when a curve is missing without a message.
    """
    with bp.open(path) as run:
        attempt(
            lambda: show.summary(run),
            lambda: [show.row(event, 20) for event in run.events],
            lambda: [show.record(event) for event in run.events],
            lambda: show.container_table(run.containers()),
            lambda: (repr(run), run._repr_html_(), run.files.size_without_pages),
            lambda: (repr(run.events), run.events._repr_html_(), run.events.frame()),
            lambda: run.moments("exit"),
            lambda: (run.failure.id, run.failure.containers()),
        )
        _look_at_curves(run, pictures)
        _look_at_views(run, pictures)
        _look_at_a_branch(run)
        _look_at_checkpoints(run, pages)
        forms = ["json", "csv", *(["html"] if pictures else [])]
        attempt(*(lambda form=form: bp.export(run, room / f"x.{form}") for form in forms))
        # Where nothing can be read, each curve that is missed has been told of in one line.
        attempt(lambda: _share(run, room))
        if len(curves.kept(run)) < curves_there and not any("curves" in w for w in run.warnings):
            raise Silent(f"a curve is missing, and the warnings are {run.warnings}")


def _look_at_curves(run: Recording, pictures: bool) -> None:
    found: list[Any] = []
    attempt(lambda: found.extend(curves.kept(run)))
    for curve in found[:_CURVES]:
        attempt(
            lambda curve=curve: (repr(curve), curve.steps, curve.identical, curve.around()),
            lambda curve=curve: (curve.frame, curve.branches),
            lambda curve=curve: repr(curve.contrast()),
            lambda curve=curve: curve.turning_point.moment,
        )
        if pictures:
            attempt(lambda curve=curve: curve._repr_mimebundle_())


def _look_at_views(run: Recording, pictures: bool) -> None:
    def timeline() -> None:
        view = run.timeline(earlier=True)
        repr(view)
        view.zoom(1, 2).zoom()
        view._on_next({"at": 0, "forward": True})
        if pictures:
            view._fallback_html()
        view.close()

    def tree() -> None:
        view = run.map(earlier=True)
        repr(view), view._fallback_html()
        for number in range(min(len(view._nodes), 5)):
            view.select(number)
        view.close()

    def log() -> None:
        view = run.events.explore(text="e")
        repr(view)
        view.close()

    attempt(timeline, tree, log)


def _look_at_a_branch(run: Recording) -> None:
    """The content of a recording's inputs, as far as nothing has to run."""
    branch = run.end.branch()
    attempt(
        lambda: repr(branch.faults),
        lambda: branch.faults.active,
        lambda: [repr(each) for each in branch.terminals],
        lambda: [(each.screen, each.transcript) for each in branch.terminals],
        lambda: branch.containers(),
        lambda: branch.id,
        lambda: repr(run.compare(branch, run.end)),
    )
    for number in (1, 2):
        _look_at_a_command(Process(branch, number, "true", ""))


def _look_at_a_command(process: Process) -> None:
    attempt(
        lambda: repr(process),
        lambda: process._repr_html_(),
        lambda: (process.exit_code, process.signal, process.running, process.dead_container),
        lambda: (process.output, process.stdout, process.stderr, process.raw(), process.raw("err")),
    )


def _look_at_checkpoints(run: Recording, pages: bool) -> None:
    """What a verification reads."""
    files = run.files

    def load(at: int) -> None:
        hashes = files.checkpoint(at).hashes
        if pages:
            files.pages.get(hashes[hashes.any(axis=1)])

    def restore() -> None:
        nearest = files.nearest(run.manifest.end)
        if nearest is not None:
            files.pages_at(nearest)

    attempt(restore, *(lambda at=at: load(at) for at in files.checkpoints))


def _share(run: Recording, room: Path) -> None:
    """Share it; the bundle can be opened, and has no damage that was not known here."""
    target = bp.share(run, room / "shared.bpz")
    with bp.open(unpack(target, room / "shared.branchpoint").path) as again:
        known = {_nameless(each, run.path) for each in run.files.damage}
        curves.kept(again)
        news = [each for each in again.files.damage if _nameless(each, again.path) not in known]
        if news:
            raise Silent(f"was passed on without a word: {news}")


def _nameless(damage: str, path: Path) -> str:
    return damage.replace(str(path), "")


def notebook(path: Path) -> None:
    """Read a notebook from a bundle."""
    found = hygiene.read(path)
    hygiene.clean(found)
    hygiene.suspects(found)
    remarks(path, path.with_suffix(".bpz"))


# -- container images


def image(reference: str, folder: Path) -> None:
    """Build the tree of a system with this image, except the file system itself."""
    file = folder / "compose.yaml"
    file.write_text(f"services:\n  a:\n    image: {reference!r}\n    user: '33'\n", "utf-8")
    system = compose.load(file)
    tree = system_tree(system, find_images(system))
    tree.write_tar(_Digest())


class _Digest:
    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._digest.update(data)


# -- messages of a guest


def frames(run: Recording, drains: list[Drained], heads: list[int | None], room: Path) -> None:
    """Handle what a guest sends as a branch does, and look at all results."""
    branch = run.start.branch()
    history = branch._history
    memory = Memory()
    player = Player(memory)  # type: ignore[arg-type]
    player.mailbox.skip()
    judges = [failure(what).judge(_stretch(run, history)) for what in ("exit:*", "log:*:x")]
    judges.append(failure(always="*").judge(_stretch(run, history)))
    for drained, head in zip(drains, heads, strict=True):
        memory.say(drained.data, drained.now, head)
        player.place = type(player.place)(max(memory.now, history.tip.at), history.tip.count)

        def take() -> None:
            new = run.replayer._collect(player, history, None)
            for judge in judges:
                judge.feed(new)

        attempt(take)
        if memory.closed:  # what it sent is impossible
            break
    _look_at_what_was_said(branch, room)


def _stretch(run: Recording, history: History) -> Any:
    from branchpoint.timeline.judges import Stretch

    return Stretch(history.tip.at, history.tip.at + 10**9, run.origin, history.log.columns())


def _look_at_what_was_said(branch: Any, room: Path) -> None:
    history, run = branch._history, branch.run
    columns = history.log.columns()
    events = [columns.event(number, run.origin) for number in range(len(columns))]
    numbers = sorted({*history.raw, *history.shown, 1, 2})[:6]
    for number in numbers:
        process = Process(branch, number, "true", "")
        _look_at_a_command(process)
        shell = terminal.Terminal(branch, number, "")
        attempt(
            lambda shell=shell: (shell.output, shell.running, shell.exit_code),
            lambda process=process: repr(Packets(process.raw(), Clock(0, 0, 1), run.origin, [])),
        )
        pieces = history.shown.get(number, [])
        if pieces:
            attempt(lambda pieces=pieces: _draw(pieces))
    attempt(
        lambda: [show.row(event, 20) for event in events],
        lambda: branch.faults.active,
        lambda: containers.at_the_end_of(columns, run.manifest.containers),
        lambda: branch.events.frame("id", "code"),
        lambda: repr(branch.timeline()),
        lambda: _kept(events, room),
    )


def _draw(pieces: list[tuple[int, bytes]]) -> None:
    from branchpoint.timeline.commands.screen import Screen

    screen = Screen(24, 80)
    for _, data in pieces:
        screen.feed(data)
    assert len(screen.lines) == 24 and screen.text is not None


_numbers = itertools.count()


def _kept(events: list[Any], room: Path) -> None:
    """The events are the same after they were on disk."""
    import os

    folder = room / f"events{next(_numbers)}"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    try:
        file = EventFile(fd, write=True)
        file.add(events)
        file.flush()
        file.close()
        again = EventFile(fd, write=False)
        log, gaps = again.load(again.count)
        again.close()
        columns = log.columns()
        origin = events[0].origin if events else 0
        if gaps or [columns.event(n, origin) for n in range(len(columns))] != events:
            raise Silent(f"events on disk are not those that were seen: {again.damage}")
    finally:
        os.close(fd)

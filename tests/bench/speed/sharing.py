"""The control plane's share of a run's time: Python, its stops, checkpoints and files.

The same stretch of the same machine is run twice, bit for bit the same: under the control plane,
and by an emulator that is told once how far to run (it only stops for inputs: seed and start). The
share is (time with - time alone) / time alone. Both begin with a new emulator, so both translate
the guest's code anew. They alternate, and the shortest time of each counts: the work is the same
every time, so any extra time comes from other processes.

Recording: all of ``record()``, from images in the cache to the closed recording; alone: a new
emulator from the boot snapshot to the recording's end. Running: a branch from vtime 0 that waits;
alone: a new emulator at the same state.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from branchpoint.machine.computer import Computer
from branchpoint.machine.state import State
from branchpoint.timeline.replaying.history import History, Point
from branchpoint.timeline.replaying.player import Player
from cost import Cost, cost
from figures import Figure, amount, at_most
from scale import Scale
from subjects import SUBJECTS, Subject

_BAR = 0.10


def sharing(scale: Scale, work: Path) -> list[Figure]:
    figures = []
    for subject in SUBJECTS:
        recording, recording_alone, running, running_alone = _measure(subject, scale, work)
        wall = min(one.wall for one in running)
        name = f"{subject.name}: control plane on top of the emulator"
        length = f"{scale.stretch:g} virtual s"
        figures += [
            _share(f"{name}, recording set-up and {length}", recording, recording_alone),
            _share(f"{name}, running a branch for {length}", running, running_alone),
            Figure(
                f"{subject.name}: speed of a branch",
                f"{amount(scale.stretch / wall, 'virtual s')} a second",
            ),
        ]
    return figures


def _share(name: str, whole: list[Cost], alone: list[Cost]) -> Figure:
    def least(costs: list[Cost], of: str) -> float:
        return min(getattr(one, of) for one in costs)

    def extra(of: str) -> float:
        return least(whole, of) / least(alone, of) - 1

    note = (
        f"{amount(least(whole, 'wall'), 's')} against {amount(least(alone, 'wall'), 's')}, "
        f"best of {len(whole)}; in CPU time {amount(extra('cpu'), '%')}: "
        f"Python {amount(least(whole, 'python'), 's')}, "
        f"emulator {amount(least(whole, 'emulator'), 's')} "
        f"against {amount(least(alone, 'emulator'), 's')} alone"
    )
    return at_most(name, extra("wall"), _BAR, "%", note)


def _measure(subject: Subject, scale: Scale, work: Path) -> tuple[list[Cost], ...]:
    path = work / f"{subject.name}-share.branchpoint"
    found: tuple[list[Cost], ...] = ([], [], [], [])
    with progress.task(f"control plane of {subject.name}", scale.stretches, "rounds") as task:
        for number in range(scale.stretches):
            shutil.rmtree(path, ignore_errors=True)
            with cost() as recording:
                bp.record(subject.compose, path, seed=subject.seed, duration=scale.stretch).close()
            with bp.open(path) as run:
                start = run.replayer.snapshot.state
                root = run.replayer.root
                with cost() as recording_alone:
                    emulator = _standing(run, root, Point(start.at, 0), start)
                    _run_alone(emulator, root.tip)
                branch = run.at(0).branch()
                history = branch._history
                player = run.replayer.bring(history, history.tip)
                place, state = player.place, run.replayer.remember(player)
                with cost() as running:
                    branch.wait(scale.stretch)
                emulator = _standing(run, history, place, state)
                with cost() as running_alone:
                    _run_alone(emulator, history.tip)
            for costs, one in zip(
                found, (recording, recording_alone, running, running_alone), strict=True
            ):
                costs.append(one)
            task.update(number + 1)
    shutil.rmtree(path)
    return found


def _standing(run: bp.Recording, history: History, place: Point, state: State) -> Player:
    snapshot = run.replayer.snapshot
    computer = Computer(snapshot.spec, template=snapshot.template, pool=run.replayer.pool)
    player = Player(computer)
    player.restore(history, place, state)
    return player


def _run_alone(player: Player, goal: Point) -> None:
    player.replay_to(goal)
    player.close()

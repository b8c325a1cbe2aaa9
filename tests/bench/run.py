"""Measures the figures of notebooks/guide/figures.md on this computer: `make bench`.

Each measure runs in its own Python process, so none inherits memory, emulators or a warm cache from
another. Recordings are made in build/bench and used again; results are kept in tests/bench/results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import table
from answers.contrasts import contrasts
from answers.known import known_answers
from answers.simulated import simulated
from branchpoint.errors import BranchpointError
from cost import adopt, bury, cost
from culprits.naming import culprits
from figures import Figure
from kept import Taken, caption, keep, kept, taken
from mutants.hunt import mutants
from scale import FULL, QUICK, Scale
from searching.finding import bugs, crash, locks
from searching.looking import looking
from soaks import soaking
from soaks.instants import instants
from speed.branching import branching
from speed.curing import curing
from speed.curves import curves
from speed.futures import futures
from speed.idling import idling
from speed.interleaving import interleaving
from speed.opening import opening
from speed.reading import reading
from speed.rewinding import rewinding
from speed.sharing import sharing
from speed.states import states
from speed.storing import storing
from subjects import SUBJECTS, recorded

_WORK = Path(__file__).parents[2] / "build" / "bench"
_LIMIT = 3 * 3600  # seconds for one measure
_SOAK = "soak"


def recordings(scale: Scale, work: Path) -> list[Figure]:
    """Makes the recordings that the other measures use; reports nothing."""
    for subject in SUBJECTS:
        recorded(subject, scale.recording, work)
    return []


_MEASURES: dict[str, Callable[[Scale, Path], list[Figure]]] = {
    measure.__name__: measure
    for measure in (
        recordings, opening, rewinding, branching, idling, sharing, states, curing, storing,
        reading, interleaving, instants, futures, curves, known_answers, simulated, contrasts,
        culprits, locks, crash, bugs, looking, mutants,
    )
}  # fmt: skip


def main() -> int:
    arguments = _arguments()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    scale = QUICK if arguments.quick else FULL
    if arguments.measure:
        found = _MEASURES[arguments.measure](scale, work)
        print(json.dumps([figure.as_dict() for figure in found]))
        return 0
    if arguments.soak is not None:
        soaking.soak_all(work, {**soaking.COUNTS, **dict(arguments.soak)})
    adopt()  # workers may end before their emulators
    results: dict[str, Taken] = {}
    failed = False
    for name in [name for name in arguments.only or _MEASURES if name != _SOAK]:
        with cost() as spent:
            found = _apart(name, arguments)
            bury()
        failed |= found is None
        figures = [Figure(name, "could not be measured", met=False)] if found is None else found
        results[name] = taken(name, spent.disturbed, figures)
        if found is not None and not arguments.quick:
            keep(name, results[name])
    text, figures = _summary(results)
    if arguments.quick:
        text += " A quick run: too few of everything to mean much."
    print(table.plain(figures, text))
    if arguments.readme:
        known = kept()
        text, figures = _summary({key: known[key] for key in _MEASURES if key in known})
        table.put(table.markdown(figures, text), arguments.readme)
    return int(failed)


def _summary(results: dict[str, Taken]) -> tuple[str, list[Figure]]:
    told = [(name, each) for name, each in results.items() if each.figures]
    figures = [figure for _, each in told for figure in each.figures]
    return caption(told), [*figures, *soaking.figures()]


def _apart(name: str, arguments: argparse.Namespace) -> list[Figure] | None:
    """The figures of one measure, taken in a new process; None when it failed."""
    print(f"bench: {name}", file=sys.stderr, flush=True)
    started = time.monotonic()
    command = [sys.executable, __file__, "--measure", name, "--work", arguments.work]
    try:
        done = subprocess.run(
            command + ["--quick"] * arguments.quick, stdout=subprocess.PIPE, timeout=_LIMIT
        )
    except subprocess.TimeoutExpired:
        print(f"bench: {name} did not end in {_LIMIT} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"bench: {name} failed", file=sys.stderr)
        return None
    found = [Figure(**fields) for fields in json.loads(done.stdout)]
    print(f"bench: {name} took {time.monotonic() - started:.0f} s", file=sys.stderr)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, to see that it works")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*_MEASURES, _SOAK],
        help=f"these measures; {_SOAK}: the counts of soaks, which are always shown",
    )
    parser.add_argument(
        "--readme",
        type=Path,
        help="put all that was measured in full, now or before, between this file's two marks",
    )
    parser.add_argument("--work", type=Path, default=_WORK, help="where recordings are kept")
    parser.add_argument(
        "--soak",
        nargs="*",
        type=_soak,
        metavar="WHAT=COUNT",
        help="first go on with the soaks, which take hours; how many replays of what: "
        + " ".join(f"{key}={count}" for key, count in soaking.COUNTS.items()),
    )
    parser.add_argument("--measure", choices=list(_MEASURES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.readme and arguments.quick:
        parser.error("--readme needs full measures; leave out --quick")
    return arguments


def _soak(text: str) -> tuple[str, int]:
    key, _, count = text.partition("=")
    if key not in soaking.COUNTS or not count.isdigit():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one of {', '.join(f'{key}=N' for key in soaking.COUNTS)}"
        )
    return key, int(count)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BranchpointError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)

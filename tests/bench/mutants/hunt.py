"""Mutants of all data that strangers send us: each is either read or refused with a message.

``cd tests/bench; python -m mutants.hunt --count 20000 --seed 1``

A mutant depends only on the seed and its number, so ``--only NUMBER`` makes it again. Each is in
its own folder. Everything is done with it except running its code (:mod:`tasting`), in a process
whose memory, time and open files are watched; the surroundings of the folder are watched, too.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import branchpoint as bp
import table
from branchpoint import progress
from branchpoint.errors import BranchpointError
from branchpoint.sharing.bundle.opening import unpack
from cost import Cost, cost, cpu_time
from figures import Figure
from kept import keep, taken
from mutants import breeding, frames, images, tasting
from mutants.material import Material, material, read
from scale import Scale

_BENCH = Path(__file__).parents[1]
WORK = _BENCH.parents[1] / "build" / "bench"
_PATIENCE = 20  # CPU seconds for one mutant
_LONGEST = 600  # wall seconds for one mutant; other processes need the cores, too
_LOOK = 5  # wall seconds between two checks of a silent worker
_MEMORY = 1 << 30  # bytes of memory that a worker may use more than at its start
_LARGEST = 512 << 20  # most bytes of a written file
_SLICE = 1000  # mutants per process
_COUNT, _SEED = 20_000, 1
_PICTURES = 40  # one of so many is also drawn, which takes long
_PAGES = 4  # one of so many is read with all pages of memory
_WORKED, _REFUSED = "worked", "refused"


class Escaped(Exception):
    """Something was written outside of the folder, or left behind."""


class Place:
    """A folder for one mutant, and its surroundings."""

    def __init__(self, root: Path, fonts: Path) -> None:
        """``fonts`` is where matplotlib keeps its list of fonts."""
        self.root = root
        self.folder = root / "parent" / "folder"
        """The folder of the mutant and of everything made from it."""
        self.room = root / "parent" / "room"
        """The folder for exports."""
        self.outside = root / "parent" / "outside"
        """The target of links."""
        for name in ("cache", "tmp", "home", "here"):
            (root / name).mkdir()
        os.environ.update(
            BRANCHPOINT_CACHE=str(root / "cache"), TMPDIR=str(root / "tmp"),
            HOME=str(root / "home"), MPLCONFIGDIR=str(fonts),
        )  # fmt: skip
        os.chdir(root / "here")
        tempfile.tempdir = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A new folder; nothing may be written elsewhere, nor stay in memory or open."""
        parent = self.folder.parent
        if parent.exists():
            _remove(parent)
        for each in (self.folder, self.room, self.outside):
            each.mkdir(parents=True)
        (self.outside / "secret").write_bytes(b"secret")
        before = _held()
        yield
        around = {path.relative_to(self.root).as_posix() for path in self.root.rglob("*")}
        allowed = ("parent/folder/", "parent/room/", "parent/outside/moved", "cache/")
        known = {"cache", "tmp", "home", "here", "parent", "parent/folder", "parent/room",
                 "parent/outside", "parent/outside/secret"}  # fmt: skip
        escaped = [name for name in around - known if not name.startswith(allowed)]
        if escaped:
            raise Escaped(f"outside of the folder: {sorted(escaped)[:5]}")
        if _held() > before:
            gc.collect()
            if _held() > before:
                raise Escaped(f"open files and threads: {_held()}, before {before}")
        _remove(self.root / "cache")
        (self.root / "cache").mkdir()


def _held() -> tuple[int, int]:
    """How many files (except fonts) are open, and how many threads there are."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            count += each.readlink().suffix != ".ttf"
    return count, threading.active_count()


def _remove(path: Path) -> None:
    shutil.rmtree(path)


# -- kinds of mutants: each makes one, looks at it, and raises when it is refused


def _folder(made: Material, chance: Random, place: Place) -> None:
    path = place.folder / "x.branchpoint"
    path.mkdir()
    breeding.folder(made.recording, chance, path, place.outside)
    tasting.recording(path, place.room, **_how(chance))


def _resealed(made: Material, chance: Random, place: Place) -> None:
    path = place.folder / "x.branchpoint"
    breeding.write(breeding.resealed(made.recording, chance), path)
    tasting.recording(path, place.room, **_how(chance), curves_there=1)


def _retold(made: Material, chance: Random, place: Place) -> None:
    path = breeding.retold(made.recording, made.events, chance, place.folder / "x.branchpoint")
    tasting.recording(path, place.room, **_how(chance), curves_there=1)


def _bundle(data: bytes, chance: Random, place: Place) -> None:
    path = place.folder / "x.bpz"
    path.write_bytes(data)
    trust = chance.random() < 0.5
    try:
        opened = unpack(path, trust=trust)
    except BranchpointError:
        left = [each.name for each in place.folder.iterdir() if each != path]
        left += [each.name for each in (place.root / "cache").rglob("*") if each.is_file()]
        if left:
            raise Escaped(f"left behind after a refusal: {left}") from None
        raise
    if opened.notebook is not None:
        tasting.attempt(lambda: tasting.notebook(opened.notebook))
    tasting.recording(path, place.room, **_how(chance))


def _thin(made: Material, chance: Random, place: Place) -> None:
    _bundle(breeding.harmed(made.thin.data, chance, [made.whole.data]), chance, place)


def _thin_resealed(made: Material, chance: Random, place: Place) -> None:
    _bundle(breeding.bundle(made.thin, chance), chance, place)


def _whole(made: Material, chance: Random, place: Place) -> None:
    _bundle(breeding.harmed(made.whole.data, chance, [made.thin.data]), chance, place)


def _whole_resealed(made: Material, chance: Random, place: Place) -> None:
    _bundle(breeding.bundle(made.whole, chance), chance, place)


def _image(made: Material, chance: Random, place: Place) -> None:
    reference = images.mutant(made.image, chance, place.folder, place.outside)
    tasting.image(reference, place.folder)


def _frames(made: Material, chance: Random, place: Place) -> None:
    path = breeding.write(made.recording, place.folder / "x.branchpoint")
    drains, heads = frames.mutant(made.drains, chance)
    with bp.open(path) as run:
        tasting.frames(run, drains, heads, place.room)


def _how(chance: Random) -> dict[str, bool]:
    return {
        "pictures": chance.randrange(_PICTURES) == 0,
        "pages": chance.randrange(_PAGES) == 0,
    }


_KINDS: dict[Callable[[Material, Random, Place], None], int] = {
    _folder: 9, _resealed: 20, _retold: 12, _thin: 6, _thin_resealed: 14, _whole: 3,
    _whole_resealed: 5, _image: 16, _frames: 15,
}  # fmt: skip
"""How many of a hundred mutants are of each kind."""


def one(made: Material, seed: int, number: int, place: Place) -> tuple[str, str]:
    """Make a mutant and look at it: returns its kind and the result."""
    chance = Random(f"{seed}/{number}")
    kind = chance.choices(list(_KINDS), list(_KINDS.values()))[0]
    name = kind.__name__.removeprefix("_")
    with place.watched():
        try:
            kind(made, chance, place)
        except BranchpointError as error:
            assert str(error).strip()
            return name, _REFUSED
    return name, _WORKED


# -- a worker, which a mutant may kill


def work(folder: Path, root: Path, seed: int, first: int, last: int) -> None:
    """Look at the mutants from ``first`` to ``last`` and write a line about each."""
    progress.use(lambda task, *, final: None)
    made = read(folder)
    place = Place(root, folder / "fonts")
    _warm_up(made, place)
    _limit()
    for number in range(first, last + 1):
        print(json.dumps([number, *_judged(made, seed, number, place)]), flush=True)


def _quick() -> str | None:
    """A folder in memory, if there is one: a bundle is synced file by file."""
    memory = Path("/dev/shm")
    return str(memory) if os.access(memory, os.W_OK) else None


def _judged(made: Material, seed: int, number: int, place: Place) -> tuple[str, str, str]:
    began = time.monotonic()
    try:
        name, became = one(made, seed, number, place)
        return name, became, ""
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        told = traceback.format_exc(limit=-12)
        return f"{time.monotonic() - began:.1f} s", "failed", told


def _warm_up(made: Material, place: Place) -> None:
    """Load all that is ever loaded, before the limits count."""
    with place.watched():
        path = place.folder / "x.bpz"
        path.write_bytes(made.thin.data)
        tasting.recording(path, place.room, pictures=True)


def _limit() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY, size + _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST, _LARGEST))


# -- the process that watches it


@dataclass
class Result:
    """The results for the mutants."""

    seed: int
    found: Counter[str] = field(default_factory=Counter)
    """How many mutants of each kind "worked" or were "refused"."""
    wrong: list[str] = field(default_factory=list)
    """What went wrong, in full, with the command that makes that mutant again."""
    cost: Cost = field(default_factory=Cost)

    @property
    def count(self) -> int:
        return self.found.total() + len(self.wrong)

    def of(self, became: str) -> int:
        """How many mutants of all kinds had this result."""
        return sum(count for key, count in self.found.items() if key.endswith(became))

    def add(self, number: int, kind: str, became: str, told: str) -> None:
        """Add one mutant; ``told`` is empty unless something went wrong."""
        if not told:
            self.found[f"{kind} {became}"] += 1
            return
        self.wrong.append(f"--seed {self.seed} --only {number} ({kind}):\n{told}")
        print(self.wrong[-1], file=sys.stderr, flush=True)

    def __str__(self) -> str:
        lines = [f"{count:>7}  {key}" for key, count in sorted(self.found.items())]
        return "\n".join([*lines, f"{len(self.wrong):>7}  went wrong"])


def run(work: Path, seed: int, count: int, first: int = 0) -> Result:
    """Make so many mutants from the material in ``work``, and look at them."""
    result = Result(seed)
    number, end = first, first + count - 1
    with progress.task("mutants", count) as task, cost() as result.cost:
        while number <= end:
            last = min(number + _SLICE - 1, end)
            with tempfile.TemporaryDirectory(prefix="branchpoint-", dir=_quick()) as root:
                for line in _lines(_worker(work, Path(root), seed, number, last)):
                    number, *became = json.loads(line)
                    result.add(number, *became)
                    number += 1
                    task.update(number - first)
            if number <= last:
                result.add(number, "?", "", "ended the process, or took too long")
                number += 1
    return result


def _worker(work: Path, root: Path, seed: int, first: int, last: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "mutants.hunt", "--worker", root, "--work", work.absolute(),
        "--seed", str(seed), "--first", str(first), "--count", str(last - first + 1),
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_BENCH, start_new_session=True)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """The output of a worker; a worker that is silent for too long is ended."""
    assert process.stdout is not None
    try:
        rest, spent, since = b"", 0.0, time.monotonic()
        while True:
            if not select.select([process.stdout], [], [], _LOOK)[0]:
                used = cpu_time(process.pid) - spent
                if used > _PATIENCE or time.monotonic() - since > _LONGEST:
                    return
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            spent, since = cpu_time(process.pid), time.monotonic()
    finally:
        process.stdout.close()
        process.kill()  # no effect when it has ended
        process.wait()


def mutants(scale: Scale, work: Path) -> list[Figure]:
    """The measure: as many mutants as asked for, none of which may go wrong."""
    material(work)
    return [figure(run(work, _SEED, scale.mutants))]


def figure(result: Result) -> Figure:
    """A line of the table."""
    each = result.cost.emulator / max(result.count, 1)
    wrong = f"{len(result.wrong)} went wrong" if result.wrong else "none went wrong"
    return Figure(
        "mutants of recordings, bundles, images, a guest's words: read, or refused in words",
        f"{result.count}: {wrong} ({result.of(_WORKED)} read, {result.of(_REFUSED)} refused; seed "
        f"{result.seed}; {each * 1000:.0f} ms of CPU time each)",
        f"{_COUNT}, none goes wrong",
        result.count >= _COUNT and not result.wrong,
    )


def main() -> int:
    arguments = _arguments()
    seed, first, count = arguments.seed, arguments.first, arguments.count
    if arguments.worker:
        work(arguments.work / "mutants", arguments.worker, seed, first, first + count - 1)
        return 0
    arguments.work.mkdir(parents=True, exist_ok=True)
    made = material(arguments.work)
    if arguments.only is not None:
        with tempfile.TemporaryDirectory(prefix="branchpoint-") as root:
            place = Place(Path(root), arguments.work / "mutants" / "fonts")
            print(*one(made, seed, arguments.only, place))
        return 0
    result = run(arguments.work, seed, count, first)
    print(result)
    found = [figure(result)]
    if first == 0 and count >= _COUNT:
        keep("mutants", taken("mutants", result.cost.disturbed, found))
    print(table.plain(found, f"{count / result.cost.wall:.1f} a second"))
    return int(bool(result.wrong))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=_COUNT)
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--only", type=int, help="make this one again, and let its error be seen")
    parser.add_argument("--work", type=Path, default=WORK, help="where recordings are kept")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""A sample of the mutants that tests/bench/mutants makes by the thousand, from made-up data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from guestwords import frame
from recordings import ORIGIN, SECOND, make

import branchpoint as bp
from branchpoint.futures.draws import Draw, Draws, Question
from branchpoint.guest import image, wire
from mutants import hunt
from mutants.frames import Drained
from mutants.material import Pieces, complete, upper_layer

SEED, COUNT = 7, 200
RAM = 64 << 10


def some(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def said() -> list[Drained]:
    """What an agent sends about a command, a terminal and containers, in two readings."""

    def line(second: float, kind: int, *parts: str) -> bytes:
        return frame(kind, "\0".join(parts).encode(), ORIGIN + round(second * SECOND))

    first = [
        line(1, wire.Kind.EVENT, "process.start", "id=1", ""),
        line(1.1, wire.Kind.LINE, "process/1", "out", "yes"),
        line(1.2, wire.Kind.RAW, "process/2", "tty", "\x1b[1;5Hx"),
        line(1.3, wire.Kind.RAW, "process/3", "out", "bytes"),
        line(1.4, wire.Kind.EVENT, "process.exit", "id=1", "code=3", "signal=0", ""),
    ]
    then = [
        line(2, wire.Kind.EVENT, "fault.start", "id=1", "type=kill", "target=db.1", "for=5", ""),
        line(2, wire.Kind.EVENT, "container.exit", "name=db.1", "code=0", "signal=9", ""),
        line(2.5, wire.Kind.LINE, "container/db.1", "err", "oh"),
        line(3, wire.Kind.EVENT, "error", "about=process/1", "text=no", ""),
    ]
    return [
        Drained(ORIGIN + second * SECOND, b"".join(frames))
        for second, frames in ((2, first), (4, then))
    ]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the material."""
    work = tmp_path_factory.mktemp("work")
    folder = work / "mutants"
    path = make(folder.joinpath("small.branchpoint"), 2) if folder.mkdir() is None else folder
    question = Question(failure="exit:*", failure_key="ab", horizon=5, relative=True)
    with bp.open(path) as run:
        draws = Draws(run.files, question)
        for seed in range(6):
            at = ORIGIN + seed % 3 * SECOND // 4
            draws.add(Draw(at=at, seed=seed, verdict="passed", end=at + 5))
        symbols = dict.fromkeys(image.SYMBOLS, 0xFFFFFFFF81000000)
        guest = {name: some(5000, number) for number, name in enumerate(image.FILES)}
        pieces = Pieces(guest, symbols, some(RAM, 5), some(RAM, 6), some(900, 7), 123)
        complete(run, pieces, [upper_layer(), upper_layer()], folder)
    (folder / "frames").write_bytes(msgspec.msgpack.encode(said()))
    return work


@pytest.mark.long
def test_every_mutant_is_read_or_refused_in_words(work: Path) -> None:
    result = hunt.run(work, SEED, COUNT)
    assert result.wrong == []
    assert result.count == COUNT
    kinds = {key.partition(" ")[0] for key in result.found}
    assert kinds == {kind.__name__.removeprefix("_") for kind in hunt._KINDS}
    assert result.of("worked") > COUNT // 4 and result.of("refused") > COUNT // 4


WATCHED = """
import os, sys
from pathlib import Path
from mutants.hunt import Escaped, Place
place = Place(Path(sys.argv[1]), Path(sys.argv[1]) / "fonts")
try:
    with place.watched():
        {act}
except Escaped as error:
    print("noticed:", error)
"""


@pytest.mark.parametrize(
    "act",
    ["(place.folder / '../x').write_text('')", "(place.root / 'tmp' / 'x').write_text('')",
     "Path('x').write_text('')", "(place.outside / 'linked').write_text('')",
     "kept = open(place.folder / 'x', 'w')"],
)  # fmt: skip
def test_what_escapes_is_noticed(tmp_path: Path, act: str) -> None:
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(act=act), tmp_path],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert "noticed:" in done.stdout, done.stderr

"""At every instant: stop, save the state, restore it, go on, without any effect on the guest.

At each of many instants of a guest, the machine is stopped, its state is saved and restored, and it
goes on. From time to time it is compared with a machine that was never stopped in between.
"""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from branchpoint import doctor, progress
from branchpoint.guest import boot
from branchpoint.guest.compiler import static_program
from branchpoint.guest.image import ensure_image
from branchpoint.guest.initramfs import archive
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.guest.tree import Tree
from branchpoint.machine.computer import Computer, Cures
from branchpoint.machine.pages import PAGE, TEMPLATE, PagePool, hash_pages
from branchpoint.machine.spec import Hardware, Kernel, Spec
from branchpoint.machine.state import State
from branchpoint.system import build
from figures import Figure
from scale import Scale

_TESTED = Path(__file__).parents[2] / "machine"
_PROGRAM = _TESTED / "programs" / "kinds.c"
_IDLE = _TESTED / "systems" / "idle" / "compose.yaml"
_RAM = 160 << 20
_BEGIN = 2_500_000_000  # ns: by then each guest does its work
_STRETCH = 100_000_000  # ns in which random instants lie
_COMPARE = 250  # instants between two comparisons
_POOL = 2000  # instants after which the pages of states are dropped
_ALL = Cures()
KINDS = ("sse", "x87", "mmx", "strings", "syscalls", "faults", "switches", "interrupts", "idle")
TURNS, TORTURE, AGENT = "turns", "torture", "agent"
TURN = _STRETCH
"""ns of each kind's turn, in the order of ``KINDS``, in the guest that has them all."""


@dataclass(frozen=True)
class Guest:
    """A machine that can be started, and where its instants begin (ns)."""

    start: Callable[..., Computer]
    """Takes ``pool`` and ``cures``."""
    hashes: np.ndarray
    """Digests of the pages of its memory at the start."""
    begin: int
    state: State | None = None
    """The state to restore first; its pages are as in the template."""


@contextmanager
def guests() -> Iterator[dict[str, Guest]]:
    """A guest for each kind of work that does nothing else; all in turn; torture; agent alone."""
    image = ensure_image()
    with tempfile.TemporaryDirectory(prefix="branchpoint-") as folder:
        program = static_program([_PROGRAM])
        tree = Tree()
        for kind in (*KINDS, TURNS):
            tree.add_file(kind, program, 0o755)
        initrd = Path(folder, "kinds")
        initrd.write_bytes(archive(tree))
        line = boot.command_line(_RAM)
        kernels = {
            kind: Kernel(image.kernel, initrd, f"{line} rdinit=/{kind}") for kind in (*KINDS, TURNS)
        }
        kernels[TORTURE] = doctor.torture_kernel(image, Path(folder))
        symbols = image.kallsyms
        empty = np.repeat(hash_pages(np.zeros((1, PAGE), np.uint8)), _RAM // PAGE, axis=0)
        functions = symbols["__switch_to_asm"], symbols["init_task"]
        spec = Spec(Hardware(_RAM), (), *functions, image.young)
        found = {
            kind: Guest(functools.partial(Computer, spec, kernel=kernel), empty, _BEGIN)
            for kind, kernel in kernels.items()
        }
        system = build(_IDLE)
        booted = ensure_snapshot(image, system.path, system.system.hardware)
        start = functools.partial(Computer, booted.spec, template=booted.template)
        found[AGENT] = Guest(start, booted.hashes, booted.state.at + 50_000_000, booted.state)
        yield found


def visit(
    guest: Guest, instants: Iterable[int], cures: Cures = _ALL, seen: Callable[[int], None] = int
) -> list[int]:
    """Stop at each of ``instants`` (ns, ascending, after ``guest.begin``), save, load, go on.

    Returns the ends of the stretches after which the machine differs from the undisturbed one;
    there should be none. ``seen`` is called with the number of instants visited so far.
    """
    parted: list[int] = []
    pool = PagePool(guest.hashes)
    with guest.start(pool=pool, cures=cures) as computer:
        if guest.state is not None:
            computer.restore(guest.state)
        computer.run_to(guest.begin)
        here = computer.capture()
    rest, visited = iter(instants), 0
    while some := list(islice(rest, _POOL)):
        here, pool = _moved(here, pool, PagePool(guest.hashes))
        with (
            guest.start(pool=pool, cures=cures) as undisturbed,
            guest.start(pool=pool, cures=cures) as stopped,
        ):
            undisturbed.restore(here)
            stopped.restore(here)
            for at in range(0, len(some), _COMPARE):
                part = some[at : at + _COMPARE]
                for instant in part:
                    stopped.run_to(instant)
                    stopped.restore(stopped.capture())
                end = part[-1] + 1_000_000
                undisturbed.run_to(part[-1])
                here = undisturbed.capture()
                undisturbed.run_to(end)
                stopped.run_to(end)
                if stopped.capture_afresh().digest(pool) != undisturbed.digest():
                    parted.append(part[-1])
                undisturbed.restore(here)
                stopped.restore(here)
                visited += len(part)
                seen(visited)
    pool.close()
    return parted


def _moved(state: State, old: PagePool, new: PagePool) -> tuple[State, PagePool]:
    """The state with its pages in another pool; the old pool is closed."""
    numbers = np.flatnonzero(state.slots != TEMPLATE).astype(np.uint32)
    slots = state.slots.copy()
    slots[numbers] = new.intern(numbers, old.pages(state.slots[numbers]))
    old.close()
    return State(state.at, state.devices, slots), new


def consecutive(guest: Guest, count: int) -> range:
    """The first ``count`` instants of a guest."""
    return range(guest.begin + 1, guest.begin + 1 + count)


def at_random(guest: Guest, count: int, seed: int = 0) -> list[int]:
    """``count`` instants of a guest."""
    chance = random.Random(seed)
    return sorted(chance.sample(range(guest.begin + 1, guest.begin + _STRETCH), count))


def in_turns(guest: Guest, count: int) -> list[tuple[str, int]]:
    """``count`` instants in the middle of the turn of each kind, in the guest of all turns."""
    chance = random.Random(0)
    found = []
    for number, kind in enumerate(KINDS):
        begin = guest.begin + number * TURN
        middle = range(begin + TURN // 5, begin + TURN * 9 // 10)
        found += [(kind, instant) for instant in sorted(chance.sample(middle, count))]
    return found


def instants(scale: Scale, work: Path) -> list[Figure]:
    """All of them, each guest separately."""
    figures = []
    with guests() as known:
        for name, guest in known.items():
            if name == TURNS:  # each kind is looked at by itself
                continue
            every = name == TORTURE
            count = scale.every if every else scale.instants
            chosen = consecutive(guest, count) if every else at_random(guest, count)
            with progress.task(f"instants of {name}", count, "instants") as task:
                parted = visit(guest, chosen, seen=task.update)
            what = "consecutive" if every else "random"
            figures.append(
                Figure(
                    f"{name}: stop, save, load and go on at each of {count} {what} instants",
                    f"{len(parted)} comparisons differ" if parted else "all as if undisturbed",
                    f"all of {count}",
                    not parted,
                )
            )
    return figures

"""The emulator in its sandbox: what the kernel says about it, and what a guest can make it do.

That the sandbox holds is shown with another program (tests/fast/machine/test_walls.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from places import HERE

import branchpoint as bp
from branchpoint.guest import boot
from branchpoint.guest.compiler import static_program
from branchpoint.guest.image import ensure_image
from branchpoint.guest.initramfs import archive
from branchpoint.guest.tree import Tree
from branchpoint.machine import computer as machine
from branchpoint.machine import sandbox
from branchpoint.machine.computer import Computer
from branchpoint.machine.pages import PAGE, PagePool, hash_pages
from branchpoint.machine.spec import Hardware, Kernel, Spec

RAM = 128 << 20
STEP = 2_000_000  # ns in which the guest writes some hundred thousand bytes
BOUND = 1 << 14


@pytest.fixture
def emulator(small: bp.Recording) -> int:
    """The process id of a working emulator."""
    return small.replayer.bring(small.end._history, small.end._point).computer.pid


def test_no_process_has_a_way_out(emulator: int) -> None:
    threads = list(Path(f"/proc/{emulator}/task").iterdir())
    assert len(threads) > 1
    for thread in threads:
        status = (thread / "status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Seccomp"] == "2"
        assert fields.get("Seccomp_filters", "2") == "2"  # QEMU's own and, once it is set up, ours
        assert fields["NoNewPrivs"] == "1"
        assert "0" not in fields["Uid"].split()
        assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 0


def test_it_has_namespaces_of_its_own(emulator: int) -> None:
    own = sandbox.own_namespaces(emulator)
    if not own:
        pytest.skip("namespaces are not allowed here")
    assert {"mount", "network", "PID", "IPC"} <= set(own)
    assert set(own) <= {"mount", "network", "PID", "IPC", "user"}
    roots = [line.split() for line in Path(f"/proc/{emulator}/mounts").read_text().splitlines()]
    assert all("ro" in options.split(",") for _, at, _, options, *_ in roots if at != "/proc")
    assert all(word in sandbox.walls(emulator) for word in own)


def test_its_memory_and_files_are_bounded(small: bp.Recording, emulator: int) -> None:
    limits = {
        line[:25].strip(): line[26:47].strip()
        for line in Path(f"/proc/{emulator}/limits").read_text().splitlines()
    }
    ram = small.replayer.snapshot.spec.ram
    assert int(limits["Max file size"]) == ram
    assert ram < int(limits["Max data size"]) < ram + (2 << 30)
    assert int(limits["Max data size"]) < int(limits["Max address space"])
    assert limits["Max core file size"] == limits["Max processes"] == "0"


def flooded(kernel: Kernel, spec: Spec) -> tuple[bytes, str, int]:
    """A guest that has written to the debug port for a while: its digest, what is kept of its
    output, and how much of the host's memory this takes."""
    empty = hash_pages(np.zeros((1, PAGE), np.uint8))
    pool = PagePool(np.repeat(empty, spec.ram // PAGE, axis=0))
    with Computer(spec, kernel=kernel, pool=pool) as computer:
        while not os.fstat(computer._console).st_blocks:
            computer.run_to(computer.now + STEP)
        computer.run_to(computer.now + STEP)
        held = os.fstat(computer._console).st_blocks * 512
        return computer.digest(), computer.console(), held


@pytest.mark.long
def test_a_guest_that_writes_without_end_fills_nothing_and_goes_on_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ensure_image()
    tree = Tree()
    tree.add_file("init", static_program([HERE / "programs" / "flood.c"]), 0o755)
    (tmp_path / "initrd").write_bytes(archive(tree))
    kernel = Kernel(image.kernel, tmp_path / "initrd", boot.command_line(RAM))
    symbols = image.kallsyms
    spec = Spec(Hardware(RAM), (), symbols["__switch_to_asm"], symbols["init_task"], image.young)
    monkeypatch.setattr(machine, "_CONSOLE", 1 << 22)
    free, whole, _ = flooded(kernel, spec)
    monkeypatch.setattr(machine, "_CONSOLE", BOUND)
    bounded, kept, held = flooded(kernel, spec)
    assert len(whole) > 4 * BOUND
    assert held == BOUND
    assert kept == whole[:BOUND] + "\n(more than this is not kept)"
    assert bounded == free

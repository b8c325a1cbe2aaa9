"""How the guest's kernel is started, and where its functions lie."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path

from branchpoint.errors import ImageError
from branchpoint.guest import wire
from branchpoint.guest.initramfs import archive
from branchpoint.guest.tree import Tree
from branchpoint.machine import engine, firmware

_LOW_MEMORY = 3 << 30  # a PC's memory has a gap for devices above this address
_FIRMWARE = 8 << 20  # bytes at the end of low memory, in whose last few 100 KiB ACPI tables lie
_FREQUENCY = 1_000_000_000  # Hz of the time stamp counter: one instruction, one nanosecond
_TICKS = 250  # a second; CONFIG_HZ of Debian's kernels

# Initialisers that cost many instructions and serve nobody here.
_SKIPPED = (
    "jent_mod_init",
    "load_system_certificate_list",
    "bpf_tcp_ca_kfunc_init",
    "bpf_dummy_struct_ops_init",
    "trace_eval_init",
)
_OPTIONS = (
    # The same addresses at every boot, and the timekeeper hooks one of them.
    "nokaslr",
    # One CPU, emulated, all of whose guests are the user's own.
    "mitigations=off",
    "randomize_kstack_offset=off",
    "init_on_alloc=0",
    # The time stamp counter is virtual time itself: nothing to calibrate or to watch over. (Linux
    # still does so a second after boot, and the guest's clocks may then differ from virtual time
    # by 1 µs a second. Without its reference, pmtmr=0, booting takes twice as long.)
    "tsc=reliable",
    f"tsc_early_khz={_FREQUENCY // 1000}",
    f"lpj={_FREQUENCY // _TICKS}",
    "no_timer_check",
    "nowatchdog",
    # Nobody reads how long tasks waited for what, and every switch of tasks would pay for it.
    "psi=0",
    # Randomness comes from the host's seed alone.
    "random.trust_cpu=off",
    "random.trust_bootloader=off",
    # There is no device that could need memory below 4 GiB; the buffers would take 64 MiB.
    "swiotlb=noforce",
    # A huge page makes a checkpoint hold 2 MiB where one byte changed.
    "transparent_hugepage=never",
    "audit=0",
    "cryptomgr.notests=1",
    f"initcall_blacklist={','.join(_SKIPPED)}",
    "quiet",
    "panic=-1",
)
_SYMBOL_TIMEOUT = 120  # wall seconds for a boot that takes 3


def mailbox_address(ram: int) -> int:
    """Physical address of the mailbox in a machine with ``ram`` bytes of memory."""
    return min(ram, _LOW_MEMORY) - _FIRMWARE - wire.SIZE


def command_line(ram: int) -> str:
    """The kernel's command line for a machine with ``ram`` bytes of memory."""
    mailbox = mailbox_address(ram)
    reserved = (
        f"memmap={wire.SIZE:#x}${mailbox:#x}",
        f"branchpoint.mailbox={mailbox:#x},{wire.SIZE:#x}",
    )
    return " ".join([*_OPTIONS, *reserved])


def kernel_symbols(kernel: Path, busybox: bytes, names: tuple[str, ...]) -> dict[str, int]:
    """Addresses of kernel symbols, read from ``/proc/kallsyms`` of a kernel booted for it.

    Debian's packages hold no symbol table, and the one inside the kernel has a form that changes
    between versions; the running kernel is the one sure source. ``busybox`` is a static one.
    """
    tree = Tree()
    for directory in ("dev", "proc"):
        tree.add_dir(directory)
    tree.add_file("busybox", busybox, 0o755)
    pattern = "|".join(names)
    script = f"""#!/busybox sh
/busybox mount -t proc proc /proc
/busybox mount -t devtmpfs dev /dev
/busybox grep -wE '{pattern}' /proc/kallsyms > /dev/ttyS0
echo END > /dev/ttyS0
/busybox reboot -f
"""
    tree.add_file("init", script.encode(), 0o755)
    with tempfile.TemporaryDirectory() as folder:
        initrd, serial = Path(folder, "initrd"), Path(folder, "serial")
        initrd.write_bytes(archive(tree))
        command: list[str | Path] = [
            *engine.find().command(), "-L", firmware.pinned().folder,
            "-nodefaults", "-no-user-config", "-display", "none",
            "-accel", "tcg,thread=single", "-cpu", "qemu64", "-M", "pc,hpet=off", "-m", "256M",
            "-no-reboot", "-serial", f"file:{serial}", "-kernel", kernel, "-initrd", initrd,
            "-append", " ".join(_OPTIONS),
        ]  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):  # what it wrote tells more
            subprocess.run(command, capture_output=True, timeout=_SYMBOL_TIMEOUT)
        said = serial.read_text(errors="replace") if serial.exists() else ""
    found = {}
    for line in said.splitlines():
        match line.split():
            case [address, _, name, *_] if name in names:
                found[name] = int(address, 16)
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise ImageError(
            f"the guest's kernel did not tell the address of {', '.join(missing)}; "
            f"it said: {said[-500:]!r}"
        )
    return found

"""One emulated computer: a QEMU process that runs to exact instants and can be rewound."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from branchpoint.errors import GuestEnded, MachineError, TimeError
from branchpoint.machine import engine, firmware, sandbox
from branchpoint.machine.pages import HASH, PAGE, TEMPLATE, PagePool, Pages, Slots, hash_pages
from branchpoint.machine.spec import Kernel, Spec
from branchpoint.machine.state import State, digest_of, without_host_clocks
from branchpoint.machine.watching.ran import Covered, Watchers

EPOCH = "2025-11-28T21:57:45"
"""The guest's wall clock at power-on (UTC)."""
_HELLO, _RUN, _READ, _WRITE, _DIRTY, _SAVE, _LOAD, _NUDGE, _WATCH, _OBJECTS = range(1, 11)
_REQUEST = struct.Struct("<IIQQ")
_REPLY = struct.Struct("<IIqQQ")
_OBJECT = struct.Struct("<III")
BOARD = "pc-i440fx-10.0"
"""QEMU's name for the board, with the version that says what devices are on it."""
_OK, _ERROR, _HALTED, _ALIVE = range(4)
_ENDS = {6: "it switched itself off", 7: "it was reset", 100: "it suspended itself"}
"""How a guest ends the machine, as the timekeeper numbers it; a panic and a triple fault reset."""
_PATIENCE = 30  # wall s in which some virtual time has to pass
_GRACE = 5  # wall s in which an interrupted emulator has to answer
_NO_PAGES = np.empty(0, np.uint32)
_EXCHANGE_PAGES = 8192  # that the exchange file keeps from one look to the next
_CONSOLE = 1 << 20  # bytes that the guest's debug port may write
_WORDS = 64 << 10  # bytes that the emulator itself may say

STATES = 2
"""What is in a state, as a number that every recording notes. Those of 1 lack the exception flags
of SSE arithmetic, and to take one could change a clock chip that the guest was setting."""


@dataclass(frozen=True)
class Cures:
    """The corrections that make QEMU repeatable.

    Off only to show that tests notice, and to replay recordings that were made without them.
    """

    idle: bool = True
    """Idle time passes only when every instruction is accounted for."""
    tlb: bool = True
    """The software TLB is flushed when another task gets the processor."""
    young: bool = True
    """It is flushed, too, when the kernel clears accessed bits."""
    flags: bool = True
    """The exception flags of SSE arithmetic are in every state, and the segments that x87 keeps."""
    clock: bool = True
    """The real-time clock chip is saved and restored without being changed."""

    @classmethod
    def as_of(cls, states: int) -> Cures:
        """Those with which recordings were made whose states are of this number."""
        return cls() if states >= STATES else cls(young=False, flags=False, clock=False)


class Computer:
    """A QEMU process, standing still except inside :meth:`run_to`.

    ``template`` is the memory at the boot snapshot (mapped copy-on-write); with ``kernel``
    instead, memory starts empty and the kernel boots when first run. Without ``track``, changed
    pages are found by comparing, as on hosts before Linux 6.7, which cannot tell. With
    ``covered`` it tells what code ran.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        template: Path | None = None,
        kernel: Kernel | None = None,
        pool: PagePool | None = None,
        cures: Cures = Cures(),
        track: bool = True,
        covered: Covered | None = None,
    ) -> None:
        self.spec = spec
        self.pool = pool
        self.now = 0
        self.ended = ""
        """Why the guest has ended the machine, in words; nothing can be run in it then."""
        self.watched = 0
        """The number at the address given to :meth:`watch`."""
        self.base: State | None = None
        """The state that the memory was last known to be in."""
        self._looked_at = _NO_PAGES
        """Pages that changed since then, up to the last look that kept nothing."""
        self._received = bytearray()
        self._pages: Pages | None = None
        """The first pages of the exchange file."""
        self._exchange = sandbox.file_that_cannot_grow("branchpoint-exchange", spec.ram)
        self._words = sandbox.file_that_cannot_grow("branchpoint-words", _WORDS)
        self._console = os.memfd_create("branchpoint-console", os.MFD_ALLOW_SEALING)
        self._cures = cures
        files = self._exchange, self._words, self._console
        self._watchers = Watchers(covered)
        self._process, links = self._spawn(template, kernel, cures, track)
        self._socket = links[0]
        self._watchers.attach(links[1:])
        self._end = weakref.finalize(self, _end, self._process, links, *files)
        try:
            ram, _ = self._call(_HELLO)
            sandbox.seal(self._console, _CONSOLE)  # not before: QEMU empties it when it opens it
        except BaseException:
            self.close()
            raise
        if ram != spec.ram:
            self.close()
            raise MachineError(f"the emulator has {ram} bytes of memory, not {spec.ram}")

    def _spawn(
        self,
        template: Path | None,
        kernel: Kernel | None,
        cures: Cures,
        track: bool,
    ) -> tuple[sandbox.Emulator, list[socket.socket]]:
        found = self.spec.engine or engine.find()
        starts_with = self.spec.firmware or firmware.pinned()
        watchers = self._watchers.all
        ends = [socket.socketpair() for _ in range(1 + len(watchers))]
        ours, theirs = [one for one, _ in ends], [other for _, other in ends]
        fds = [*(end.fileno() for end in theirs), self._exchange, self._console]

        def file(path: Path) -> str:
            # By descriptor: the emulator runs as a user that may not walk to the path.
            fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            return f"/proc/self/fd/{fds[-1]}"

        size = self.spec.ram
        shift = self.spec.hardware.instruction.bit_length() - 1  # ns, as a power of 2
        icount = f"shift={shift},sleep=off,align=off"
        opened = len(fds)
        try:
            if template:
                memory = f"mem-path={file(template)},share=off,readonly=on,rom=off"
            else:
                empty = os.memfd_create("branchpoint-empty")
                fds.append(empty)
                os.ftruncate(empty, size)
                memory = f"mem-path=/proc/self/fd/{empty},share=off,readonly=on,rom=off"
            root = "" if found.root is None else file(found.root)
            room = size + sum(path.stat().st_size for path in self.spec.modules)
            arguments = [
                *found.command(root),
                *("-L", file(starts_with.folder)),
                *("-name", "branchpoint", "-nodefaults", "-no-user-config", "-display", "none"),
                *("-accel", "tcg,thread=single,tb-size=256", "-smp", "1", "-cpu", "Nehalem"),
                *("-global", "apic.vapic=off"),  # drops the lock while its state is restored
                *("-icount", icount, "-rtc", f"base={EPOCH},clock=vm"),
                *(
                    "-M",
                    f"{BOARD},nvdimm=on,hpet=off,memory-backend=ram,suppress-vmdesc=on,mem-merge=off",
                ),
                *("-m", f"size={size >> 20}M,slots=4,maxmem={(room >> 20) + 1024}M"),
                *("-object", f"memory-backend-file,id=ram,size={size},{memory}"),
                *("-chardev", f"file,id=console,path=/proc/self/fd/{self._console}"),
                *("-device", "isa-debugcon,chardev=console"),
                *("-S", "-no-reboot", "-action", "shutdown=pause,panic=pause"),
                "-sandbox",
                "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            ]
            for i, module in enumerate(self.spec.modules):
                length = module.stat().st_size
                arguments += [
                    "-object",
                    f"memory-backend-file,id=module{i},size={length},mem-path={file(module)},"
                    "share=on,readonly=on",
                    *("-device", f"nvdimm,id=nvdimm{i},memdev=module{i},unarmed=on"),
                ]
            if kernel:
                arguments += ["-kernel", file(kernel.image), "-initrd", file(kernel.initrd)]
                arguments += ["-append", kernel.command_line]
            plugin = (
                f"file={file(found.plugin)},socket={theirs[0].fileno()},exchange={self._exchange},"
                f"switch={self.spec.switch_address:#x},idle_task={self.spec.idle_task:#x},"
                f"young={':'.join(f'{address:#x}' for address in self.spec.young)},"
                f"idle={_switch(cures.idle)},tlb={_switch(cures.tlb)},"
                f"aging={_switch(cures.young)},flags={_switch(cures.flags)},"
                f"clock={_switch(cures.clock)},"
                f"track={_switch(track)}"
            )
            if self.pool is not None:
                fds.append(os.open(f"/proc/self/fd/{self.pool.fd}", os.O_RDONLY | os.O_CLOEXEC))
                plugin += f",pool={fds[-1]}"
            arguments += ["-plugin", plugin]
            for watcher, end in zip(watchers, theirs[1:], strict=True):
                last = f"module{len(self.spec.modules) - 1}"
                named = [f"file={file(watcher.plugin())}", f"socket={end.fileno()}"]
                plugin = ",".join([*named, f"module={last}", *watcher.options()])
                arguments += ["-plugin", plugin]
            process = sandbox.start(arguments, fds, self._words)
        except BaseException as error:
            for end in ours:  # an emulator that was started all the same ends with them
                end.close()
            if isinstance(error, OSError):
                raise MachineError(f"the emulator could not be started: {error}") from error
            raise
        finally:
            for end in theirs:
                end.close()
            for fd in fds[opened:]:
                os.close(fd)
        return process, ours

    # -- talking to the timekeeper

    @property
    def _tells_of_life(self) -> bool:
        """Whether the emulator says now and then that it runs."""
        return self._cures.idle

    def _call(self, op: int, a: int = 0, b: int = 0, payload: bytes = b"") -> tuple[int, bytes]:
        """Ask and wait for the answer.

        The first interrupt waits for it too, but not for ever; a second does not.
        """
        interrupt: KeyboardInterrupt | None = None
        self._received.clear()
        self._socket.settimeout(_PATIENCE if op == _RUN and self._tells_of_life else None)
        passed, last = time.monotonic(), self.now
        try:
            self._socket.sendall(_REQUEST.pack(op, len(payload), a, b) + payload)
            while True:
                try:
                    self._receive(_REPLY.size)
                    head = _REPLY.unpack_from(self._received)
                    status, length, now, value, watched = head
                    if status == _ALIVE:
                        self._received.clear()
                        if now > last:
                            passed, last = time.monotonic(), now
                        elif time.monotonic() > passed + _PATIENCE:
                            raise TimeoutError
                        continue
                    data = self._receive(_REPLY.size + length)[_REPLY.size :]
                    self.now, self.watched = now, watched
                    break
                except KeyboardInterrupt as stop:
                    if interrupt is not None:
                        raise
                    interrupt = stop
                    self._socket.settimeout(_GRACE)
        except TimeoutError:
            words = self._last_words()
            self.close()
            if interrupt is not None:
                raise interrupt from None
            raise MachineError(
                f"no virtual time has passed for {_PATIENCE} s at about {last} ns, so the emulator "
                f"was ended{words}",
                "go on from an earlier moment; if it happens again there, please report it",
            ) from None
        except OSError as error:
            raise self._died() from error
        except BaseException:
            # Between question and answer: this process can no longer be spoken to.
            self.close()
            raise
        if interrupt is not None:
            raise interrupt
        if status == _ERROR:
            raise MachineError(f"at {self.now} ns: {data.decode(errors='replace')}")
        if status == _HALTED:
            self.ended = _ENDS.get(value, f"QEMU stopped it for reason {value}")
        return value, data

    def _receive(self, length: int) -> bytes:
        """The first ``length`` bytes of the answer; goes on where an interrupt left off."""
        while len(self._received) < length:
            got = self._socket.recv(length - len(self._received))
            if not got:
                raise ConnectionResetError("the emulator closed its socket")
            self._received += got
        return bytes(self._received[:length])

    def _died(self) -> MachineError:
        how = sandbox.ending(self._process.wait(1))
        words = self._last_words()
        self.close()
        return MachineError(f"the emulator {how} at {self.now} ns{words}")

    def _last_words(self) -> str:
        words = self.console()[-1000:].strip()
        return f"; it said:\n{words}" if words else ""

    def console(self) -> str:
        """What the guest's debug port and the emulator have written, the beginning of each."""
        try:
            return sandbox.text_in(self._console) + sandbox.text_in(self._words)
        except OSError:
            return ""

    # -- time and memory

    def run_to(self, instant: int, step: int = 0) -> None:
        """Run until exactly ``instant`` (ns), or the end of the instruction under way then.

        With ``step`` (ns), :attr:`watched` is looked at whenever that much time has passed since
        power-on once more, and the run ends there if it has changed.

        :raises GuestEnded: when the guest ended the machine before; :attr:`now` is when.
        """
        if instant < self.now:
            raise TimeError(f"a machine at {self.now} ns cannot run back to {instant} ns")
        if instant > self.now and not self.ended:
            self._call(_RUN, instant, step)
        if instant > self.now and self.ended:
            raise GuestEnded(f"the guest ended at {self.now} ns: {self.ended}{self._last_words()}")

    def nudge(self) -> None:
        """Wake the emulator's main loop for nothing, from any thread, also while time runs.

        It must make no difference; tests use it to show that.
        """
        with contextlib.suppress(OSError):
            self._socket.send(_REQUEST.pack(_NUDGE, 0, 0, 0), socket.MSG_DONTWAIT)

    def watch(self, address: int) -> None:
        """Keep :attr:`watched` equal to the 8 bytes of guest memory at physical ``address``.

        It comes with every answer of the emulator, so that asking for it costs nothing.
        """
        self._call(_WATCH, address, 8)

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes of guest memory at physical ``address``."""
        return self._call(_READ, address, length)[1]

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into guest memory: an input, to be recorded by the caller."""
        self._call(_WRITE, address, len(data), data)

    def private_pages(self) -> tuple[Slots, np.ndarray]:
        """All pages that this process does not share with its template: numbers, contents."""
        numbers, pages = self._changed(everything=True)
        return numbers, pages.copy()

    def _changed(self, *, everything: bool) -> tuple[Slots, np.ndarray]:
        """Numbers and contents of pages; the contents are good until the next call."""
        _, data = self._call(_DIRTY, int(everything), 1)
        numbers = np.frombuffer(data, np.uint32)
        if not len(numbers):
            return numbers, np.empty((0, PAGE), np.uint8)
        if len(numbers) > _EXCHANGE_PAGES:
            return numbers, self._map_exchange(len(numbers))
        if self._pages is None:
            self._pages = self._map_exchange(_EXCHANGE_PAGES)
        return numbers, self._pages[: len(numbers)]

    def _map_exchange(self, pages: int) -> Pages:
        whole = mmap.mmap(self._exchange, pages * PAGE, prot=mmap.PROT_READ)
        return np.frombuffer(whole, np.uint8).reshape(pages, PAGE)

    def devices(self) -> bytes:
        """Registers, clock and devices, in QEMU's own format."""
        return without_host_clocks(self._call(_SAVE)[1])

    def objects(self) -> dict[str, bytes]:
        """Every object of the emulator, byte for byte, by path and type.

        Processor, devices, buses, with the host's addresses in them: good for a comparison
        within one process only, by whoever looks for what a state leaves out.
        """
        found, data, at = {}, self._call(_OBJECTS)[1], 0
        while at < len(data):
            path, kind, size = _OBJECT.unpack_from(data, at)
            name, end = at + _OBJECT.size, at + _OBJECT.size + path + kind
            where = data[name : name + path].decode()
            found[f"{where} {data[name + path : end].decode()}"] = data[end : end + size]
            at = end + size
        return found

    def capture(self) -> State:
        """The state now. The machine is not touched by this."""
        assert self.pool is not None
        everything = self.base is None or len(self._looked_at) > 0
        numbers, pages = self._changed(everything=everything)
        slots = self._empty() if everything or self.base is None else self.base.slots.copy()
        slots[numbers] = self.pool.intern(numbers, pages)
        self.base = State(self.now, self.devices(), slots)
        self._looked_at = _NO_PAGES
        return self.base

    def capture_afresh(self) -> State:
        """As :meth:`capture`, but trusting no bookkeeping: every private page is read again."""
        self.base = None
        return self.capture()

    def digest(self) -> bytes:
        """The digest of the state now, as of one captured, but nothing of it is kept."""
        assert self.pool is not None
        everything = self.base is None or len(self._looked_at) > 0
        numbers, pages = self._changed(everything=everything)
        slots = self._empty() if everything or self.base is None else self.base.slots
        if not everything:
            self._looked_at = numbers  # the look began a new round
        whole = np.zeros((len(slots), HASH), np.uint8)
        private = slots != TEMPLATE
        whole[private] = self.pool.hashes(slots[private])
        whole[numbers] = hash_pages(pages)
        private[numbers] = (whole[numbers] != self.pool.template_hashes[numbers]).any(axis=1)
        return digest_of(self.now, private, whole[private], self.devices())

    def restore(self, state: State) -> None:
        """Become ``state``, in this same process."""
        assert self.pool is not None
        touched = np.frombuffer(self._call(_DIRTY, 0, 0)[1], np.uint32)
        before = self._empty() if self.base is None else self.base.slots
        differs = before != state.slots
        differs[touched] = True
        differs[self._looked_at] = True
        numbers = np.flatnonzero(differs).astype(np.uint32)
        moves = np.stack([numbers, state.slots[numbers]], axis=1)
        self.base = None
        payload = moves.tobytes() + state.devices
        _, devices = self._call(_LOAD, self.pool.size, len(moves), payload)
        if self.now != state.at:
            raise MachineError(f"restored to {self.now} ns instead of {state.at} ns")
        devices = without_host_clocks(devices)
        # Computers without the cure for flags take on states of those with it, but tell less.
        expected = state.devices if self._cures.flags else state.devices[: len(devices)]
        if devices != expected:
            # A part that the state leaves out, as it had nothing to say, kept what it had before.
            raise MachineError(f"the devices did not become those of {state.at} ns")
        self.base = state
        self._looked_at = _NO_PAGES

    def _empty(self) -> Slots:
        return np.full(self.spec.ram // PAGE, 0xFFFFFFFF, np.uint32)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watchers]:
        """What tells which code runs. It tells nothing if this is not ``covered``."""
        try:
            yield self._watchers
        except OSError as error:
            raise self._died() from error

    # -- ending

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its process has ended by itself or by somebody else's hand."""
        return not self._end.alive or self._process.wait(0) is not None

    def close(self) -> None:
        """End the emulator. Safe to call twice, and called when the object is forgotten."""
        self._end()

    def __enter__(self) -> Computer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _end(process: sandbox.Emulator, links: list[socket.socket], *fds: int) -> None:
    for link in links:
        link.close()
    process.kill()
    for fd in fds:
        os.close(fd)

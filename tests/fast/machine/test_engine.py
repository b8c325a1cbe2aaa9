"""An unsuitable emulator is refused with a message that says what to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from branchpoint.debian import hosttools
from branchpoint.errors import SetupError
from branchpoint.machine import engine
from branchpoint.machine.elf import dynamic_symbols


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        ("echo QEMU emulator version 7.2.22", "is version 7.2.22; exact replay needs QEMU 10"),
        ("echo QEMU emulator version 11.0.0", "is version 11.0.0; exact replay needs QEMU 10"),
        ("echo hello", "does not say its version"),
        ("exit 3", "cannot be run"),
    ],
)
def test_another_emulator_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, complaint: str
) -> None:
    monkeypatch.setenv("BRANCHPOINT_QEMU", program(tmp_path / "qemu", says))
    with pytest.raises(SetupError, match=complaint) as refused:
        engine.find()
    assert "leave BRANCHPOINT_QEMU unset" in refused.value.hint


def test_no_emulator_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The packages are in no archive that this computer knows."""
    monkeypatch.delenv("BRANCHPOINT_QEMU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def no_packages(_: object) -> NoReturn:
        raise SetupError("no network is here")

    monkeypatch.setattr(hosttools, "unpacked", no_packages)
    with pytest.raises(SetupError, match="x86_64 is not installed; no network is here") as refused:
        engine.find()
    assert "network" in refused.value.hint


def test_without_one_of_its_own_a_computer_has_the_one_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is unpacked there starts with its own loader and libraries."""
    monkeypatch.delenv("BRANCHPOINT_QEMU", raising=False)
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path))
    monkeypatch.setattr(engine, "_plugin", lambda: tmp_path / "plugin.so")
    monkeypatch.setattr(engine, "_check_symbols", lambda *_: None)
    own = tmp_path / "bin"
    own.mkdir()
    program(own / "qemu-system-x86_64", "echo QEMU emulator version 7.2.22")
    monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")
    with pytest.raises(SetupError, match=r"7\.2\.22; .*; no emulator is unpacked in the cache"):
        list(engine.candidates(fetch=False))
    root = tmp_path / "tools" / "qemu-0123456789abcdef"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    program(libraries / "ld-linux-x86-64.so.2", '[ "$1" = --library-path ] && exec "$3" "$4"')
    (root / "usr/bin").mkdir()
    program(root / "usr/bin/qemu-system-x86_64", "echo QEMU emulator version 10.0.13")
    (found,) = engine.candidates(fetch=False)
    assert (found.version, found.root) == ("10.0.13", root)
    assert found.command("/elsewhere")[0].startswith("/elsewhere/usr/lib")


def test_no_compiler_for_the_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRANCHPOINT_QEMU", program(tmp_path / "qemu", "echo version 10.0.2"))
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="no C compiler") as refused:
        engine.find()
    assert "install gcc" in refused.value.hint


def test_a_missing_symbol_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that calls itself QEMU 10 but does not export what the plugin needs."""
    source = tmp_path / "qemu.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("version 10.0.2"); }\n')
    stripped = tmp_path / "qemu"
    subprocess.run(["gcc", "-o", stripped, source], check=True)
    monkeypatch.setenv("BRANCHPOINT_QEMU", str(stripped))
    with pytest.raises(SetupError, match=r"does not export .*qemu_load_device_state") as refused:
        engine.find()
    assert "Debian's packages" in refused.value.hint


def test_only_an_elf_file_has_symbols(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a 64-bit"):
        dynamic_symbols(tmp_path / "text")

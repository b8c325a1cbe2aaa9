"""An unsuitable emulator is refused with a message that says what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from branchpoint.errors import SetupError
from branchpoint.machine import engine
from branchpoint.machine.elf import dynamic_symbols

find = engine.find.__wrapped__


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        ("echo QEMU emulator version 7.2.22", "is version 7.2.22; exact replay needs 10.0"),
        ("echo hello", "does not say its version"),
        ("exit 3", "cannot be run"),
    ],
)
def test_another_emulator_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, complaint: str
) -> None:
    monkeypatch.setenv("BRANCHPOINT_QEMU", program(tmp_path / "qemu", says))
    with pytest.raises(SetupError, match=complaint):
        find()


def test_no_emulator_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BRANCHPOINT_QEMU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="is not installed") as refused:
        find()
    assert "make setup" in refused.value.hint


def test_no_compiler_for_the_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRANCHPOINT_QEMU", program(tmp_path / "qemu", "echo version 10.0.2"))
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="no C compiler") as refused:
        find()
    assert "install gcc" in refused.value.hint


def test_a_missing_symbol_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that calls itself QEMU 10 but does not export what the plugin needs."""
    source = tmp_path / "qemu.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("version 10.0.2"); }\n')
    stripped = tmp_path / "qemu"
    subprocess.run(["gcc", "-o", stripped, source], check=True)
    monkeypatch.setenv("BRANCHPOINT_QEMU", str(stripped))
    with pytest.raises(SetupError, match=r"does not export .*qemu_load_device_state") as refused:
        find()
    assert "distribution" in refused.value.hint


def test_only_an_elf_file_has_symbols(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a 64-bit"):
        dynamic_symbols(tmp_path / "text")

"""The guest's own programs are compiled with its release's compiler: the same on every computer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from branchpoint.errors import ImageError
from branchpoint.guest import compiler


def test_an_agent_that_does_not_compile_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return nothing; }\n")
    with pytest.raises(ImageError, match=r"wrong.c:1:.*nothing"):
        compiler.static_program([source])


def test_compiled_programs_run_and_do_not_know_where_they_were_compiled(tmp_path: Path) -> None:
    programs = []
    for name in ("here", "there"):
        source = tmp_path / name / "hello.c"
        source.parent.mkdir()
        source.write_text("#include <stdio.h>\nint main(void) { return puts(__FILE__) < 0; }\n")
        programs.append(compiler.static_program([source]))
    assert programs[0] == programs[1]
    program = tmp_path / "hello"
    program.write_bytes(programs[0])
    program.chmod(0o755)
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"hello.c\n"

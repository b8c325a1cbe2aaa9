"""The guest's own programs are compiled with its release's compiler: the same on every computer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from branchpoint.errors import ImageError
from branchpoint.guest import compiler, toolbox


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


def test_the_library_for_programs_in_containers_needs_nothing(tmp_path: Path) -> None:
    """So it can be loaded beside any C library, or none."""
    library = tmp_path / "libvoidstar.so"
    library.write_bytes(compiler.shared_library(toolbox.SOURCES[1], library.name))
    told = {
        option: subprocess.run(
            ["readelf", "-W", option, library], capture_output=True, check=True, text=True
        ).stdout
        for option in ("--dynamic", "--dyn-syms", "--program-headers")
    }
    assert "SONAME" in told["--dynamic"] and "NEEDED" not in told["--dynamic"]
    assert "RWE" not in told["--program-headers"]
    public = {tuple(line.split()[4:]) for line in told["--dyn-syms"].splitlines()[4:]}
    assert {name for _, _, _, name in public} == {
        "__sanitizer_cov_trace_pc_guard", "__sanitizer_cov_trace_pc_guard_init", "fuzz_flush",
        "fuzz_get_random", "fuzz_json_data", "init_coverage_module", "notify_coverage",
    }  # fmt: skip
    assert "UND" not in {place for _, _, place, _ in public}


def test_a_library_that_would_need_another_one_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "needs.c"
    source.write_text("int puts(const char *);\nint f(void) { return puts(__FILE__); }\n")
    with pytest.raises(ImageError, match="puts"):
        compiler.shared_library(source, "libneeds.so")

"""The C compiler of the guest's own Debian release, for the guest's own programs.

This computer's compiler is not asked: two releases compile one source to different programs, and
then recordings made on the one would not replay on the other. Compiler proper, assembler and
linker are started one after the other, as their driver would start them through this computer's
loader. The same source gives the same bytes wherever it is compiled.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from branchpoint.debian.entry import PackageList
from branchpoint.debian.hosttools import ENVIRONMENT, Tools, unpacked
from branchpoint.errors import ImageError

# Dependencies of its libraries for sanitizers and for what else no program here is linked with.
_UNUSED = {
    "libasan8",
    "libatomic1",
    "libcrypt-dev",
    "libc-dev-bin",
    "libgomp1",
    "libgprofng0",
    "libhwasan0",
    "libitm1",
    "liblsan0",
    "libquadmath0",
    "libtsan2",
    "libubsan1",
    "rpcsvc-proto",
}
PACKAGES = PackageList(
    "compiler",
    ("binutils-x86-64-linux-gnu", "cpp-14-x86-64-linux-gnu", "libc6-dev", "libgcc-14-dev"),
    lambda name: name not in _UNUSED,
)
"""What the compiler consists of."""

_HEADERS = (
    "usr/lib/gcc/x86_64-linux-gnu/14/include",
    "usr/include/x86_64-linux-gnu",
    "usr/include",
)
_GCC = "usr/lib/gcc/x86_64-linux-gnu/14"
_LIBC = "usr/lib/x86_64-linux-gnu"
_COMPILE = (
    "-quiet", "-std=gnu11", "-O2", "-march=x86-64", "-mtune=generic", "-Wall", "-Wextra",
    "-nostdinc",
)  # fmt: skip
_OF_PROGRAMS = ("-fno-pie", "-D_REENTRANT")
# Without the last one, loops become calls of memcpy and the like, which nobody has.
_OF_LIBRARIES = (
    "-fPIC", "-ffreestanding", "-fvisibility=hidden", "-fno-tree-loop-distribute-patterns",
)  # fmt: skip
_LINK = (
    "usr/bin/x86_64-linux-gnu-ld.bfd", "-s", "--build-id=none", "-z", "relro", "-m", "elf_x86_64",
    "--eh-frame-hdr", "-o", "program",
)  # fmt: skip


def static_program(sources: Iterable[Path]) -> bytes:
    """A static program from these C files; equal files, equal bytes.

    Raises :class:`ImageError` when they do not compile, and what :func:`lists.take` raises
    while the compiler is fetched (25 MB, once).
    """
    tools = unpacked(PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = [_compiled(tools, source, folder, _OF_PROGRAMS) for source in sources]
        root = tools.root
        _run(
            tools, *_LINK, "-static", "--hash-style=gnu",
            *(root / _LIBC / part for part in ("crt1.o", "crti.o")), root / _GCC / "crtbeginT.o",
            *objects, "--start-group",
            *(root / _GCC / part for part in ("libgcc.a", "libgcc_eh.a")), root / _LIBC / "libc.a",
            "--end-group", root / _GCC / "crtend.o", root / _LIBC / "crtn.o", work=folder,
        )  # fmt: skip
        return (folder / "program").read_bytes()


def shared_library(source: Path, name: str) -> bytes:
    """A shared library of that name from a C file that uses no library, not even C's.

    It needs no other one and so can be loaded into any program. Raises as :func:`static_program`.
    """
    tools = unpacked(PACKAGES)
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        made = _compiled(tools, source, folder, _OF_LIBRARIES)
        _run(
            tools, *_LINK, "-shared", "-soname", name, "-z", "defs", "-z", "now",
            "-z", "noexecstack", "--hash-style=both", made, work=folder,
        )  # fmt: skip
        return (folder / "program").read_bytes()


def _compiled(tools: Tools, source: Path, folder: Path, options: Iterable[str]) -> Path:
    """The object file of a C file, made in ``folder``."""
    headers = [word for path in _HEADERS for word in ("-isystem", tools.root / path)]
    assembly, made = (folder / source.with_suffix(ending).name for ending in (".s", ".o"))
    # Named relatively: a path would be in the program by way of __FILE__.
    _run(
        tools, "usr/libexec/gcc/x86_64-linux-gnu/14/cc1", *_COMPILE, *options, *headers,
        source.name, "-o", assembly, work=source.parent,
    )  # fmt: skip
    _run(tools, "usr/bin/x86_64-linux-gnu-as", "--64", "-o", made, assembly, work=folder)
    return made


def _run(tools: Tools, program: str, *arguments: str | Path, work: Path) -> None:
    done = subprocess.run(
        [*tools.command(program), *arguments],
        cwd=work,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ImageError(f"a program of the guest does not compile:\n{done.stderr[-2000:]}")

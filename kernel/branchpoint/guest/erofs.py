"""Read-only file systems that the guest sees as memory: erofs images in NVDIMM files.

The file is laid out so that Linux maps file pages straight from it (DAX): programs and libraries
in it cost the guest no memory, and checkpoints hold none of their pages.

====================  ============================================================
offset                content
====================  ============================================================
0                     zeros
4 KiB                 the kernel's NVDIMM_PFN_INFO block, a function of the size
2 MiB                 the erofs file system, uncompressed, whole blocks
its end … file size   a hole
====================  ============================================================

The file's size is a power of two, so that few sizes exist: a booted guest that has not yet looked
into the file system fits every file of that size. mkfs.erofs is that of the guest's Debian release:
hosts with an older one could not read tar streams.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path

from branchpoint.debian.entry import PackageList
from branchpoint.debian.hosttools import ENVIRONMENT, unpacked
from branchpoint.errors import ImageError
from branchpoint.files import publish
from branchpoint.guest.tree import EPOCH, Tree

PACKAGES = PackageList("erofs", ("erofs-utils",))
"""What the file systems are made with."""
SMALLEST = 256 << 20
"""Least size of an NVDIMM file in bytes."""

DATA_OFFSET = 2 << 20
"""Where the file system begins, in bytes; the alignment of DAX mappings."""
_PAGE = 4096
_PAGE_STRUCT = 64  # bytes of the kernel's struct page
_MODE_RAM = 1  # struct pages lie in guest RAM, not in the file
_VERSION = (1, 4)
_UUID = bytes.fromhex("b2a9c6f0d1e34c5a8f7b6a5d4e3c2b10")


def write_nvdimm(tree: Tree, path: Path, smallest: int = SMALLEST) -> None:
    """Write ``tree`` as a file system in an NVDIMM file at ``path``; equal trees, equal bytes.

    The size is the next power of two that holds it, at least ``smallest`` bytes.
    """
    with publish(path) as unfinished, unfinished.open("wb") as file:
        # mkfs.erofs has an option to write at an offset; version 1.8.6 spoils directories with it.
        plain = unfinished.with_name("erofs")
        _make_file_system(tree, plain)
        size = max(smallest, 1 << (DATA_OFFSET + plain.stat().st_size - 1).bit_length())
        file.write(header(size))
        file.seek(DATA_OFFSET)
        with plain.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)
        file.truncate(size)


def header(size: int) -> bytes:
    """The first 8 KiB of an NVDIMM file of ``size`` bytes (Linux' struct nd_pfn_sb at 4 KiB)."""
    info = struct.pack(
        "<16s16s16sIHHQQIIIIIH3994x",
        b"NVDIMM_PFN_INFO\0",
        _UUID,
        bytes(16),  # no parent: the namespace has no labels
        0,
        *_VERSION,
        DATA_OFFSET,
        (size - DATA_OFFSET) // _PAGE,
        _MODE_RAM,
        0,
        0,
        DATA_OFFSET,
        _PAGE,
        _PAGE_STRUCT,
    )
    return bytes(_PAGE) + info + struct.pack("<Q", _fletcher64(info + bytes(8)))


def _fletcher64(data: bytes) -> int:
    low = high = 0
    for (word,) in struct.iter_unpack("<I", data):
        low = (low + word) & 0xFFFFFFFF
        high = (high + low) & 0xFFFFFFFF
    return high << 32 | low


def _make_file_system(tree: Tree, path: Path) -> None:
    command = [
        *unpacked(PACKAGES).command("usr/bin/mkfs.erofs"),
        "--quiet", "--tar=f", "-Enoinline_data", f"-T{EPOCH}", "--mkfs-time",
        "-U00000000-0000-0000-0000-000000000000", path,
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has stopped, and says why
            tree.write_tar(process.stdin)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        output = process.stdout.read().decode(errors="replace").strip()
    if process.returncode == -signal.SIGXFSZ:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    if process.returncode:
        raise ImageError(f"mkfs.erofs failed on {path}: {output or process.returncode}")

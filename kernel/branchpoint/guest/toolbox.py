"""The guest's own programs: its root file system, and what containers see of it.

One file system serves both. The guest runs with it as ``/``. A command that is run in a container
finds the same file system at ``/dev/branchpoint/tools`` (a plain bind mount of the root), and
``/dev/branchpoint/tools/bin`` at the end of its search path:

=========================  ===============================================================
path                       content
=========================  ===============================================================
``/usr/bin/tcpdump`` ...   Debian's programs, for the guest itself
``/bin/tcpdump`` ...       a wrapper for each of them, which runs it with the toolbox's own
                           loader and libraries, so that it works in every container
``/bin/sh``, ``/bin/bash`` a static bash, for the guest and for containers without a shell
``/bin/busybox``           a static busybox; its applets have names in ``/bin`` where no
                           real program has. (Its own shell would take ``ip``, ``mount``,
                           ... to be its applets, whatever the search path.)
``/sbin``                  a link to ``bin``
``/system``                empty, to mount the system image on
``/dev``, ``/proc``,       empty, to mount on
``/run``, ``/sys``,
``/tmp``, ``/var``
=========================  ===============================================================

Unlike in Debian, ``/bin`` is thus no link to ``/usr/bin``: inside the guest the search path should
begin with ``/usr/sbin:/usr/bin``. ``/dev/branchpoint/tools`` is there, too: the wrappers work.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from branchpoint.cache import cache_dir, disk_errors
from branchpoint.debian import lists
from branchpoint.debian.entry import PackageList
from branchpoint.errors import ImageError
from branchpoint.guest import compiler, debian, rootfs
from branchpoint.guest.tree import Tree

_PROGRAMS = (
    "base-files",
    "base-passwd",
    "bash-static",
    "busybox-static",
    "coreutils",
    "crun",
    "curl",
    "findutils",
    "gdb",
    "grep",
    "iproute2",
    "iputils-ping",
    "jq",
    "less",
    "libc-bin",
    "lsof",
    "mawk",
    "mount",
    "ncurses-base",
    "netcat-openbsd",
    "nftables",
    "procps",
    "psmisc",
    "sed",
    "socat",
    "strace",
    "tar",
    "tcpdump",
    "util-linux",
)
# Needed by others' maintainer scripts only, which never run.
_UNUSED = {
    "adduser",
    "debconf",
    "debianutils",
    "init-system-helpers",
    "libdebuginfod-common",
    "libpam-modules",
    "libpam-modules-bin",
    "libpam-runtime",
    "libsemanage-common",
    "libsemanage2",
    "libsepol2",
    "libtext-charwidth-perl",
    "libtext-wrapi18n-perl",
    "login.defs",
    "openssl-provider-legacy",
    "passwd",
    "perl-base",
    "readline-common",
    "sensible-utils",
    "tzdata",
    "ucf",
}
PACKAGES = PackageList("toolbox", _PROGRAMS, lambda name: name not in _UNUSED)
"""What the toolbox is made of."""
_UNUSED_PATHS = (
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/lib/x86_64-linux-gnu/gconv",
    "var",
)
STOP_FAULTS = "/usr/lib/branchpoint/stop-faults"
"""The program of containers that want some time without faults; not on any search path."""
VOIDSTAR = "/usr/lib/branchpoint/libvoidstar.so"
"""The library that SDKs in containers load."""
_HERE = Path(__file__).parent
SOURCES = (_HERE / "stop_faults.c", _HERE / "voidstar.c")
"""What these two are made of."""
_SHOWN = "/dev/branchpoint/tools"
_LOADER = f"{_SHOWN}/usr/lib64/ld-linux-x86-64.so.2"
_LIBRARIES = f"{_SHOWN}/usr/lib/x86_64-linux-gnu"
# Name → program in /usr/bin that needs no loader.
_STATIC = {"bash": "bash-static", "busybox": "busybox", "sh": "bash-static"}
_MOUNT_POINTS = ("dev", "proc", "run", "sys", "system", "tmp", "var")
# What programs look up below /usr, where a container has nothing or something else.
_ENVIRONMENT = {
    "gdb": f"PYTHONHOME={_SHOWN}/usr",
    "top": f"TERMINFO_DIRS=:{_SHOWN}/usr/share/terminfo:{_SHOWN}/usr/lib/terminfo",
    "less": f"TERMINFO_DIRS=:{_SHOWN}/usr/share/terminfo:{_SHOWN}/usr/lib/terminfo",
    "watch": f"TERMINFO_DIRS=:{_SHOWN}/usr/share/terminfo:{_SHOWN}/usr/lib/terminfo",
}
_OPTIONS = {
    "gdb": f"--data-directory={_SHOWN}/usr/share/gdb -iex 'unset environment PYTHONHOME'",
    # It would become a user that containers do not have, and keep its lines back in a pipe.
    "tcpdump": "-Z root -l --immediate-mode",
}


def toolbox() -> Tree:
    """Build the toolbox's tree from Debian packages."""
    tree = debian.unpack(lists.take(PACKAGES))
    for path in _UNUSED_PATHS:
        tree.remove(path)
    for path, node in list(tree.walk()):
        if path.endswith(".a") and node.is_file:
            tree.remove(path)
    rootfs.complete(tree)
    tree.remove("var")
    for name in _MOUNT_POINTS:
        tree.add_dir(name)
    stop_faults, voidstar = SOURCES
    tree.add_file(STOP_FAULTS.strip("/"), compiler.static_program([stop_faults]), 0o755)
    library = compiler.shared_library(voidstar, Path(VOIDSTAR).name)
    tree.add_file(VOIDSTAR.strip("/"), library, 0o755)
    _add_wrappers(tree)
    return tree


def _add_wrappers(tree: Tree) -> None:
    for name in ("bin", "sbin"):
        tree.remove(name)
    tree.add_dir("bin")
    tree.add_symlink("sbin", "bin")
    for name, program in _STATIC.items():
        tree.add_symlink(f"bin/{name}", f"../usr/bin/{program}")
        if name != program:
            tree.add_symlink(f"usr/bin/{name}", program)
    for folder in ("usr/sbin", "usr/bin"):
        programs = tree.get(folder)
        assert programs is not None
        for name in programs.children:
            real = tree.real_path(f"{folder}/{name}")
            if real and f"bin/{name}" not in tree and _is_program(tree, real):
                tree.add_file(f"bin/{name}", _wrapper(name, real).encode(), 0o755)
    for applet in _applets(tree.read("usr/bin/busybox")):
        if f"bin/{applet}" not in tree:
            tree.add_symlink(f"bin/{applet}", "busybox")


def _is_program(tree: Tree, path: str) -> bool:
    """Is it an ELF program (no script, not the loader), other than the static ones?"""
    node = tree.get(path)
    if node is None or node.content is None or not node.mode & 0o111:
        return False
    folder, _, name = path.rpartition("/")
    if folder not in ("usr/bin", "usr/sbin") or name in _STATIC.values():
        return False
    return next(node.content.chunks()).startswith(b"\x7fELF")


def _wrapper(name: str, real: str) -> str:
    """The text of the wrapper for the program at ``real`` when called by ``name``.

    A container's own settings for its loader would load the wrong libraries.
    """
    command = f"{_LOADER} --library-path {_LIBRARIES} --argv0 {shlex.quote(name)} {_SHOWN}/{real}"
    environment = f"export {_ENVIRONMENT[name]}\n" if name in _ENVIRONMENT else ""
    options = f" {_OPTIONS[name]}" if name in _OPTIONS else ""
    return (
        f"#!{_SHOWN}/bin/busybox sh\n"
        f"unset LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT\n{environment}"
        f'exec {command}{options} "$@"\n'
    )


def _applets(busybox: bytes) -> list[str]:
    """The names that busybox answers to; asked from itself, as it is a static program.

    It runs in the cache, as other programs of the guest's release do: from ``/tmp`` it may not.
    """
    place = cache_dir()
    with disk_errors(place), tempfile.TemporaryDirectory(dir=place) as folder:
        program = Path(folder, "busybox")
        program.write_bytes(busybox)
        program.chmod(0o755)
        try:
            result = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ImageError(f"the guest's busybox does not run here: {error}") from error
    return [name for name in result.stdout.split() if re.fullmatch(r"[\w.\[+-]+", name)]

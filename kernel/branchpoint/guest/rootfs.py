"""What packages' maintainer scripts would have made, for trees where none ran."""

from __future__ import annotations

from branchpoint.guest.tree import Tree

# Link → programs that can stand behind it, the first one present is taken. These are the links of
# Debian's alternatives system that other programs rely on.
_ALTERNATIVES = {
    "usr/bin/awk": ("mawk", "gawk"),
    "usr/bin/editor": ("vim.tiny", "nano"),
    "usr/bin/nc": ("nc.openbsd", "nc.traditional"),
    "usr/bin/netcat": ("nc.openbsd", "nc.traditional"),
    "usr/bin/pager": ("less", "more"),
    "usr/bin/vi": ("vim.tiny",),
    "usr/bin/which": ("which.debianutils",),
}
_DIRECTORIES = {
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}
_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n"
_NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
"""


def complete(tree: Tree) -> None:
    """Add to ``tree`` what is missing for programs to run: directories, users, name lookup, links.

    Files that are there already stay as they are.
    """
    for path, mode in _DIRECTORIES.items():
        if path not in tree:
            tree.add_dir(path, mode)
    if tree.get("var/run", follow=False) is None:
        tree.add_symlink("var/run", "/run")
    for path, master, text in (
        ("etc/passwd", "usr/share/base-passwd/passwd.master", _PASSWD),
        ("etc/group", "usr/share/base-passwd/group.master", _GROUP),
        ("etc/nsswitch.conf", "usr/share/libc-bin/nsswitch.conf", _NSSWITCH),
    ):
        if path not in tree:
            tree.add_file(path, tree.read(master) if master in tree else text.encode())
    for link, programs in _ALTERNATIVES.items():
        if tree.get(link, follow=False) is None:
            for program in programs:
                if f"usr/bin/{program}" in tree:
                    tree.add_symlink(link, program)
                    break

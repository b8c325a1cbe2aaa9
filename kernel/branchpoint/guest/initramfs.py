"""The first file system of the guest: the agent and the kernel modules it loads.

============================  ==========================================================
path                          content
============================  ==========================================================
``/init``                     the agent, a static program
``/modules/NAME.ko``          kernel modules, not compressed
``/modules.list``             their paths, one a line, in the order to load them
``/modules.late``             likewise, those to load with ``drivers_autoprobe`` of the
                              nvdimm bus off: they look into memory devices
``/dev``, ``/proc`` ...       empty directories to mount on
============================  ==========================================================

The archive is not compressed: unpacking would cost the guest instructions at every first boot.
"""

from __future__ import annotations

import lzma
import stat
import struct

import zstandard

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Node, Tree

MODULES = (
    "nfit",  # memory devices
    "erofs",
    "overlay",
    "veth",
    "bridge",
    "nf_tables",
    "nft_ct",
    "nft_dup_netdev",  # a packet twice
    "nft_fwd_netdev",
    "nft_limit",  # so many packets a second
    "nft_meta_bridge",
    "nft_numgen",  # a share of the packets
    "nft_reject_bridge",
    "nft_reject_inet",
    "sch_netem",  # delay and loss
    "sch_prio",  # ... for some of the packets only
    "sch_plug",  # packets wait until they are let go
    "sch_ingress",
    "sch_tbf",
    "cls_u32",
    "tun",
    "inet_diag",  # the rest is for ss
    "tcp_diag",
    "udp_diag",
    "unix_diag",
    "af_packet_diag",
)
LATE_MODULES = ("nd_btt", "nd_pmem")
_DIRECTORIES = ("dev", "modules", "proc", "root", "run", "sys", "toolbox")


def initramfs(init: bytes, kernel: Tree) -> bytes:
    """The archive with the program ``init`` and the modules from the package tree ``kernel``."""
    files = {
        path.rpartition("/")[2].partition(".")[0].replace("-", "_"): path
        for path, node in kernel.walk()
        if ".ko" in path and node.is_file
    }
    unpacked: dict[str, bytes] = {}
    early: list[str] = []
    late: list[str] = []
    for names, order in ((MODULES, early), (LATE_MODULES, late)):
        for name in names:
            _add_with_needs(name, kernel, files, unpacked, order)
    tree = Tree()
    for directory in _DIRECTORIES:
        tree.add_dir(directory)
    tree.add_file("init", init, 0o755)
    for name, data in unpacked.items():
        tree.add_file(f"modules/{name}.ko", data)
    for file, order in (("modules.list", early), ("modules.late", late)):
        tree.add_file(file, "".join(f"/modules/{name}.ko\n" for name in order).encode())
    return archive(tree)


def _add_with_needs(
    name: str, kernel: Tree, files: dict[str, str], unpacked: dict[str, bytes], order: list[str]
) -> None:
    """Append ``name`` to ``order``, after the modules that it needs and that are not there yet."""
    if name in unpacked:
        return
    if name not in files:
        raise ImageError(f"the guest's kernel has no module {name}")
    data = _decompress(files[name], kernel.read(files[name]))
    for need in _information(data).get("depends", "").split(","):
        if need:
            _add_with_needs(need.replace("-", "_"), kernel, files, unpacked, order)
    unpacked[name] = data
    order.append(name)


def _decompress(path: str, data: bytes) -> bytes:
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def _information(module: bytes) -> dict[str, str]:
    """The key=value texts in section ``.modinfo`` of a module (a little-endian ELF64 file)."""
    (table,) = struct.unpack_from("<Q", module, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", module, 0x3A)

    def section(index: int) -> tuple[int, int, int]:  # name, offset, length
        name, offset, length = struct.unpack_from("<I20xQQ", module, table + index * size)
        return name, offset, length

    _, names, _ = section(names_index)
    for index in range(count):
        name, offset, length = section(index)
        if module.startswith(b".modinfo\0", names + name):
            texts = module[offset : offset + length].decode(errors="replace").split("\0")
            return dict(text.split("=", 1) for text in texts if "=" in text)
    return {}


def archive(tree: Tree) -> bytes:
    """The tree as a cpio archive (newc), as the kernel unpacks it."""
    parts = [_entry(number, path, node, tree) for number, (path, node) in enumerate(tree.walk(), 1)]
    parts.append(_entry(0, "TRAILER!!!", Node(0, mtime=0), tree))
    data = b"".join(parts)
    return data + bytes(-len(data) % 512)


def _entry(number: int, path: str, node: Node, tree: Tree) -> bytes:
    if stat.S_ISLNK(node.mode):
        data = node.target.encode()
    else:
        data = tree.read(path) if node.is_file else b""
    name = path.encode() + b"\0"
    links = 2 if node.is_dir else 1
    fields = [number, node.mode, node.uid, node.gid, links, node.mtime, len(data)]
    fields += [0, 0, *node.device, len(name), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)

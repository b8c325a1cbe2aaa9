"""What an overlay's upper layer changes, merged into the tree below it.

The layer comes as a tree of its own, with the marks that Linux' overlayfs leaves in it: a device
(0, 0) hides what lies below, and the attribute ``trusted.overlay.opaque`` of a directory hides all
that the one below holds.
"""

from __future__ import annotations

import stat

from branchpoint.guest.tree import Node, Tree

_MARKS = ("trusted.overlay.", "user.overlay.")
_OPAQUE = {f"{mark}opaque" for mark in _MARKS}


def apply(tree: Tree, upper: Tree) -> None:
    """Change ``tree`` into what a file system of ``upper`` above it shows.

    Contents are shared, not copied; ``upper`` is used up.
    """
    _take(tree.root, upper.root)
    _merge(tree.root, upper.root)


def _merge(below: Node, above: Node) -> None:
    for name, node in above.children.items():
        existing = below.children.get(name)
        if _hides(node):
            below.children.pop(name, None)
        elif node.is_dir and existing is not None and existing.is_dir and not _is_opaque(node):
            _take(existing, node)
            _merge(existing, node)
        else:
            _clean(node)
            below.children[name] = node


def _take(existing: Node, node: Node) -> None:
    """Give a directory the attributes that it has in the upper layer."""
    existing.mode, existing.uid, existing.gid = node.mode, node.uid, node.gid
    existing.mtime, existing.xattrs = node.mtime, _own(node)


def _clean(node: Node) -> None:
    node.xattrs = _own(node)
    node.children = {name: child for name, child in node.children.items() if not _hides(child)}
    for child in node.children.values():
        _clean(child)


def _hides(node: Node) -> bool:
    return stat.S_ISCHR(node.mode) and node.device == (0, 0)


def _is_opaque(node: Node) -> bool:
    return any(node.xattrs.get(name) == b"y" for name in _OPAQUE)


def _own(node: Node) -> dict[str, bytes]:
    return {name: value for name, value in node.xattrs.items() if not name.startswith(_MARKS)}

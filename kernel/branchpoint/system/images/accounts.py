"""Users and groups as an image's own /etc/passwd and /etc/group have them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree

_MAX_BYTES = 4 << 20
_MAX_ID = 2**32 - 2


@dataclass(frozen=True)
class Identity:
    """Who a container's process is."""

    uid: int
    gid: int
    groups: tuple[int, ...]  # supplementary
    home: str


def identify(tree: Tree, user: str, more_groups: tuple[str, ...] = ()) -> Identity:
    """Resolve ``user[:group]``, names or numbers, the way docker does.

    A name must exist in the image; a number need not. Without ``:group``, the group is the user's
    own one (0 for a number without an account), and the groups that list the user are added.

    :raises ImageError: for names that the image does not have.
    """
    name, colon, group = user.partition(":")
    accounts = _lines(tree, "etc/passwd", 7)
    groups = _lines(tree, "etc/group", 4)
    uid, gid, home, login = 0, 0, "/", ""
    for account in accounts:
        # as in docker, a number may also be a name
        if (name and account[0] == name) or (_id(account[2]) == (_id(name) if name else 0)):
            found = _id(account[2]), _id(account[3])
            if found[0] is not None and found[1] is not None:
                uid, gid, home, login = found[0], found[1], account[5] or "/", account[0]
                break
    else:
        if name and _id(name) is None:
            raise ImageError(f'the image has no user "{name}" in /etc/passwd')
        uid = _id(name) or 0
    if colon and group:
        gid, supplementary = _group(groups, group), set[int]()
    else:
        members = [(_id(g[2]), g[3].split(",")) for g in groups]
        supplementary = {i for i, names in members if i is not None and login and login in names}
    supplementary |= {_group(groups, extra) for extra in more_groups}
    return Identity(uid, gid, tuple(sorted(supplementary - {gid})), home)


def _group(groups: list[list[str]], name: str) -> int:
    for entry in groups:
        gid = _id(entry[2])
        if entry[0] == name and gid is not None:
            return gid
    number = _id(name)
    if number is None:
        raise ImageError(f'the image has no group "{name}" in /etc/group')
    return number


def _lines(tree: Tree, path: str, columns: int) -> list[list[str]]:
    node = tree.get(path)
    if node is None or not node.is_file or node.content is None or node.content.size > _MAX_BYTES:
        return []
    text = tree.read(path).decode("utf-8", "replace")
    rows = [line.split(":") for line in text.splitlines() if not line.startswith("#")]
    return [row for row in rows if len(row) >= columns]


def _id(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,10}", text) and int(text) <= _MAX_ID else None

"""``x-branchpoint-debian``: an image from Debian packages, files and commands.

::

    x-branchpoint-debian:
      suite: trixie                             # or bookworm: Debian's release
      packages: [python3-minimal, etcd-server]    # with what they depend on, and a base system;
                                                  # their own scripts make users, links, ...
      files:
        /usr/local/bin/aria: ./bin/aria           # a file or a whole directory of the project
        /etc/bus.conf: {content: "port 4000\\n", mode: "0640", owner: bus}
        /var/lib/bus: {directory: true, owner: bus}   # one of "users", or that a package makes
      symlinks:
        /usr/bin/python: python3
      users:
        bus: {uid: 1000, home: /var/lib/bus}
      commands:                                   # last, as root, when the image is built:
        - ldconfig                                # in the machine, so there is no network
"""

from __future__ import annotations

import re
from pathlib import Path

from branchpoint.debian.apt import SUITE, SUITES
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Value
from branchpoint.system.model import FileEntry, Recipe, UserEntry

KEY = "x-branchpoint-debian"
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_MAX_ID = 65535


def read_recipe(value: Value) -> Recipe:
    """Check a recipe; its files must exist, its users must have numbers.

    :raises ComposeError: with file and line, for what is wrong in it.
    """
    recipe = fields.mapping(value, f'"{KEY}"')
    fields.check_keys(
        recipe, ["suite", "packages", "files", "symlinks", "users", "commands"], f'"{KEY}"'
    )
    entries = recipe.entries
    users = _users(entries["users"]) if "users" in entries else ()
    return Recipe(
        line=recipe.line,
        suite=fields.choice(entries["suite"], '"suite"', list(SUITES))
        if "suite" in entries
        else SUITE,
        packages=_packages(entries["packages"]) if "packages" in entries else (),
        files=_files(entries["files"], users) if "files" in entries else (),
        symlinks=_symlinks(entries["symlinks"]) if "symlinks" in entries else {},
        users=users,
        commands=tuple(fields.texts(entries["commands"], '"commands"'))
        if "commands" in entries
        else (),
    )


def _packages(value: Value) -> tuple[str, ...]:
    found = []
    for item in fields.sequence(value, '"packages"').items:
        name = fields.text(item, 'each of "packages"')
        if not _PACKAGE.fullmatch(name):
            raise item.error(f'"{name}" cannot be the name of a Debian package')
        found.append(name)
    return tuple(found)


def _users(value: Value) -> tuple[UserEntry, ...]:
    found = []
    for name, entry in fields.items(value, '"users"'):
        if not _USER.fullmatch(name):
            raise entry.error(f'"{name}" cannot be the name of a user')
        options = fields.mapping(entry, f'the user "{name}"')
        fields.check_keys(options, ["uid", "gid", "home", "shell"], f'the user "{name}"')
        if "uid" not in options.entries:
            raise entry.error(f'the user "{name}" lacks "uid"', "for example uid: 1000")
        uid = fields.integer(options.entries["uid"], '"uid"', 0, _MAX_ID)
        gid = uid
        if "gid" in options.entries:
            gid = fields.integer(options.entries["gid"], '"gid"', 0, _MAX_ID)
        paths = {"home": "/", "shell": "/bin/sh"}
        for key in paths:
            if key in options.entries:
                where = options.entries[key]
                paths[key] = fields.path(where, f'"{key}"')
                if ":" in paths[key] or "\n" in paths[key]:
                    raise where.error(f'"{key}" must not contain a colon or a line end')
        found.append(UserEntry(name, uid, gid, paths["home"], paths["shell"]))
    return tuple(found)


def _files(value: Value, users: tuple[UserEntry, ...]) -> tuple[FileEntry, ...]:
    found = []
    for target, entry in fields.items(value, '"files"'):
        path = fields.absolute_path(entry, target, "where a file is placed")
        if path == "/":
            raise entry.error("a file cannot be placed at /")
        if isinstance(entry, Mapping):
            found.append(_long_file(entry, path, users))
        else:
            source = _source(entry)
            found.append(FileEntry(path, entry.line, source, directory=Path(source).is_dir()))
    return tuple(found)


def _source(entry: Value) -> str:
    written = fields.text(entry, "the source of a file")
    path = (entry.folder / Path(written).expanduser()).resolve()
    if not path.is_file() and not path.is_dir():
        raise entry.error(f"{written} does not exist", "paths are relative to the compose file")
    return str(path)


def _long_file(entry: Mapping, target: str, users: tuple[UserEntry, ...]) -> FileEntry:
    options = entry.entries
    fields.check_keys(entry, ["from", "content", "directory", "mode", "owner"], f'"{target}"')
    kinds = [key for key in ("from", "content", "directory") if key in options]
    if len(kinds) != 1:
        raise entry.error(f'"{target}" needs exactly one of "from", "content" and "directory"')
    source = _source(options["from"]) if kinds == ["from"] else None
    text = fields.text(options["content"], '"content"') if kinds == ["content"] else None
    directory = source is not None and Path(source).is_dir()
    if kinds == ["directory"]:
        if not fields.boolean(options["directory"], '"directory"'):
            raise options["directory"].error('"directory" can only be true')
        directory = True
    uid, gid, owner = 0, 0, ""
    if "owner" in options:
        uid, gid, owner = _owner(options["owner"], users)
    mode = fields.mode(options["mode"], '"mode"') if "mode" in options else None
    return FileEntry(target, entry.line, source, text, mode, uid, gid, directory, owner)


def _owner(value: Value, users: tuple[UserEntry, ...]) -> tuple[int, int, str]:
    """``name``, ``uid`` or ``uid:gid``; a name that only the packages can know stays a name."""
    written = fields.text(value, '"owner"')
    for user in users:
        if user.name == written:
            return user.uid, user.gid, ""
    if _USER.fullmatch(written):
        return 0, 0, written
    match = re.fullmatch(r"(\d{1,5})(?::(\d{1,5}))?", written)
    if match is None or max(int(match[1]), int(match[2] or 0)) > _MAX_ID:
        raise value.error(
            f'"{written}" is not an owner', 'write "1000:1000", or the name of a user'
        )
    return int(match[1]), int(match[2] or match[1]), ""


def _symlinks(value: Value) -> dict[str, str]:
    found = {}
    for link, entry in fields.items(value, '"symlinks"'):
        path = fields.absolute_path(entry, link, "a symlink")
        found[path] = fields.text(entry, f'where "{link}" points')
    return found

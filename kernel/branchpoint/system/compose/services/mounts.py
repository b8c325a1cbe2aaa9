"""``volumes`` and ``tmpfs`` of a service."""

from __future__ import annotations

import re
from pathlib import Path

from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value
from branchpoint.system.linux import DEVICES, EVERYWHERE
from branchpoint.system.model import Mount, MountsOf, Note

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_IGNORED_FLAGS = {"z", "Z", "cached", "delegated", "consistent"}  # SELinux labels, macOS caching
_TMPFS_OPTIONS = {"size", "mode", "uid", "gid", "nr_inodes"}
_TMPFS_FLAGS = {"rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev"}
_DEVICES = (*(f"/dev/{name}" for name in EVERYWHERE), *DEVICES)
OF_THE_MACHINE = ("/", "/dev", "/lib/modules", "/proc", "/sys", *_DEVICES)
_BIND_OPTIONS = ["create_host_path", "propagation", "recursive", "selinux"]
_PROPAGATIONS = ["private", "rprivate", "shared", "rshared", "slave", "rslave"]
_OF_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")
_ENGINES = ("docker.sock", "podman.sock", "containerd.sock")


def read_volumes(value: Value, notes: list[Note]) -> list[Mount]:
    """Every entry of ``volumes``; the caller checks that named volumes exist."""
    read = _Volumes(notes)
    return [
        mount
        for item in fields.sequence(value, '"volumes"').items
        for mount in (read.long(item) if isinstance(item, Mapping) else read.short(item))
    ]


def read_volumes_from(value: Value) -> tuple[MountsOf, ...]:
    """``volumes_from``: services, or containers (``container:NAME``), with ``:ro`` or ``:rw``."""
    found = []
    for item in fields.sequence(value, '"volumes_from"').items:
        written = fields.text(item, 'each of "volumes_from"')
        match = re.fullmatch(r"(?:container:)?([^:]+)(?::(ro|rw))?", written)
        if match is None:
            raise item.error(f'"{written}" is not of the form SERVICE[:ro]')
        found.append(MountsOf(match[1], item.line, match[2] == "ro"))
    return tuple(found)


def read_tmpfs(value: Value) -> list[Mount]:
    """``tmpfs``: a path or a list of them, each with options after a colon."""
    items = value.items if isinstance(value, Sequence) else [value]
    found = []
    for item in items:
        written, _, options = fields.text(item, '"tmpfs"').partition(":")
        target = fields.absolute_path(item, written, "a tmpfs")
        flags = tuple(option for option in options.split(",") if option)
        found.append(Mount("tmpfs", target, item.line, options=tmpfs_options(item, flags)))
    return found


def tmpfs_options(value: Value, options: tuple[str, ...]) -> tuple[str, ...]:
    """Check mount options of a tmpfs and return them.

    :raises ComposeError: for an unknown option or a bad value.
    """
    for option in options:
        name, sign, rest = option.partition("=")
        if name == "size" and sign:
            written = Scalar(value.files, value.line, rest.rstrip("%") or "?", "str")
            fields.size(written, "the size of a tmpfs")
        elif name == "mode" and sign and not re.fullmatch(r"[0-7]{1,4}", rest):
            raise value.error(f'the mode of a tmpfs must be octal, not "{rest}"')
        elif name in ("uid", "gid", "nr_inodes") and sign and not re.fullmatch(r"\d{1,9}", rest):
            raise value.error(f'the {name} of a tmpfs must be a number, not "{rest}"')
        elif name not in (_TMPFS_OPTIONS if sign else _TMPFS_FLAGS):
            hint = fields.nearest(option, _TMPFS_FLAGS | {o + "=" for o in _TMPFS_OPTIONS})
            raise value.error(f'a tmpfs has no option "{option}"', hint)
    return options


class _Volumes:
    """Entries of ``volumes``, each as the mounts that it asks for: one, or none with a note."""

    def __init__(self, notes: list[Note]) -> None:
        self.notes = notes

    def short(self, item: Value) -> list[Mount]:
        written = fields.text(item, 'each of "volumes"')
        parts = written.split(":")
        if len(parts) > 3 or not all(parts):
            raise item.error(
                f'"{written}" is not of the form SOURCE:TARGET[:ro]',
                'for example "data:/var/lib/data" (has a variable in it no value?)',
            )
        if len(parts) == 1:
            return [Mount("volume", fields.absolute_path(item, written, "a volume"), item.line)]
        source, target = parts[0], fields.absolute_path(item, parts[1], "where a volume is mounted")
        read_only, copy = False, True
        for flag in parts[2].split(",") if len(parts) == 3 else []:
            if flag in ("ro", "rw"):
                read_only = flag == "ro"
            elif flag == "nocopy":
                copy = False
            elif flag in _PROPAGATIONS:
                self._propagated(item, flag, target)
            elif flag not in _IGNORED_FLAGS:
                raise item.error(f'a volume has no option "{flag}"', "known: ro, rw, nocopy")
        if source.startswith((".", "/", "~")):
            return bind(item, source, target, read_only, self.notes)
        return [Mount("volume", target, item.line, _volume_name(item, source), read_only, copy)]

    def long(self, item: Mapping) -> list[Mount]:
        where = 'an entry of "volumes"'
        known = ["type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency"]
        fields.check_keys(item, known, where)
        entries = item.entries
        for key in ("type", "target"):
            if key not in entries:
                raise item.error(f'{where} lacks "{key}"')
        kind = entries["type"]
        which = fields.text(kind, '"type"')
        if which in ("cluster", "npipe", "image"):
            raise kind.error(f'volumes of type "{which}" are not supported', "use a named volume")
        fields.choice(kind, '"type"', ["volume", "bind", "tmpfs"])
        target = fields.path(entries["target"], '"target"')
        read_only = "read_only" in entries and fields.boolean(entries["read_only"], '"read_only"')
        source = fields.text(entries["source"], '"source"') if "source" in entries else ""
        for section in {"bind", "volume", "tmpfs"} & set(entries):
            if section != which:
                raise item.key_error(section, f'"{section}" cannot be used with type: {which}')
        if which == "bind":
            options = _section(item, "bind", _BIND_OPTIONS).entries
            if "propagation" in options:
                wanted = fields.choice(options["propagation"], '"propagation"', _PROPAGATIONS)
                self._propagated(options["propagation"], wanted, target)
            created = options.get("create_host_path")
            create = created is None or fields.boolean(created, '"create_host_path"')
            if not source:
                raise item.error(
                    'a bind mount needs "source"', "write a path of the project as ./path"
                )
            return bind(entries["source"], source, target, read_only, self.notes, create)
        if which == "tmpfs":
            if source:
                raise entries["source"].error('a tmpfs has no "source"', "remove it")
            return [Mount("tmpfs", target, item.line, options=_tmpfs_section(item, read_only))]
        of_volume = _section(item, "volume", ["nocopy", "subpath", "labels"])
        if "subpath" in of_volume.entries:
            raise of_volume.key_error(
                "subpath", '"subpath" is not supported', "use two named volumes"
            )
        nocopy = of_volume.entries.get("nocopy")
        copy = nocopy is None or not fields.boolean(nocopy, '"nocopy"')
        name = _volume_name(entries["source"], source) if source else ""
        return [Mount("volume", target, item.line, name, read_only, copy)]

    def _propagated(self, item: Value, wanted: str, target: str) -> None:
        if wanted not in ("private", "rprivate"):  # those are what everything has
            text = f'"{wanted}" of {target} has no effect: nothing is mounted below it later'
            self.notes.append(Note(item.line, text))


def bind(
    item: Value,
    source: str,
    target: str,
    read_only: bool,
    notes: list[Note],
    create: bool = True,
) -> list[Mount]:
    """The mount of a file or directory of this computer: one, or none with a note.

    :raises ComposeError: when it does not exist and ``create`` is false, or is neither of them.
    """
    if _OF_WINDOWS.match(source):
        raise item.error(f'"{source}" is a path of Windows', "write a path of this computer")
    path = Path(source).expanduser()
    path = path if path.is_absolute() else item.folder / path
    if path.name in _ENGINES:
        text = f"nothing is mounted at {target}: there is no engine in the machine"
        notes.append(Note(item.line, text))
        return []
    if str(path) in OF_THE_MACHINE:
        how = "" if str(path) in _DEVICES else ", read-only"
        notes.append(Note(item.line, f"{target} shows {path} of the machine{how}"))
        return [Mount("machine", target, item.line, str(path), True)]
    if not path.exists():
        if not create:
            raise item.error(f"{source} does not exist", "make it")
        text = f"{source} does not exist: an empty directory takes its place"
        notes.append(Note(item.line, text))
    elif not path.is_file() and not path.is_dir():
        raise item.error(
            f"{source} is neither a file nor a directory",
            "only those can be copied into the machine: remove it",
        )
    elif not read_only:
        text = f"{source} is copied: what is written to {target} stays in the machine"
        notes.append(Note(item.line, text))
    return [Mount("bind", target, item.line, str(path.resolve()), read_only)]


def _volume_name(item: Value, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise item.error(
            f'"{name}" cannot be the name of a volume', "write a path of the project as ./path"
        )
    return name


def _tmpfs_section(item: Mapping, read_only: bool) -> tuple[str, ...]:
    entries = _section(item, "tmpfs", ["size", "mode"]).entries
    options = ["ro"] if read_only else []
    if "size" in entries:
        options.append(f"size={fields.size(entries['size'], 'the size of a tmpfs')}")
    if "mode" in entries:
        options.append(f"mode={fields.mode(entries['mode'], 'the mode of a tmpfs'):o}")
    return tuple(options)


def _section(item: Mapping, key: str, known: list[str]) -> Mapping:
    if key not in item.entries:
        return Mapping(item.files, item.line, {}, {})
    section = fields.mapping(item.entries[key], f'"{key}"')
    fields.check_keys(section, known, f'"{key}"')
    return section

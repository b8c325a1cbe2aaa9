"""The top-level ``volumes``: directories that containers share."""

from __future__ import annotations

from dataclasses import replace

from branchpoint.system.compose.keys import VOLUME
from branchpoint.system.compose.services.mounts import bind, tmpfs_options
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Value
from branchpoint.system.model import Mount, Note, Service, Volume

_SUPPORTED = (
    "supported are a tmpfs (o: size=...) and a directory (type: none, o: bind, device: path)"
)
_FLAGS = ("bind", "rbind", "ro", "rw")

_Options = dict[str, tuple[str, Value]]
"""``driver_opts``: what is given, and where."""


class Volumes:
    """The volumes that a compose file declares; notes are added to ``notes``."""

    def __init__(self, root: Mapping, notes: list[Note]) -> None:
        value = root.entries.get("volumes")
        self._section = Mapping(root.files, 1, {}, {})
        if value is not None and not fields.is_null(value):
            self._section = fields.mapping(value, '"volumes"')
        self._files = root.files
        self._notes = notes
        self._options = {
            name: self._check(f'the volume "{name}"', entry)
            for name, entry in self._section.entries.items()
        }
        self._bound: set[str] = set()
        """Directories that a service uses."""

    def bound(self, service: Service) -> Service:
        """The service with binds in place of the volumes that are directories of this computer."""
        mounts: list[Mount] = []
        for mount in service.mounts:
            options = self._options.get(mount.source, {}) if mount.kind == "volume" else {}
            if _is_directory(options):
                self._bound.add(mount.source)
                path, where = options["device"]
                read_only = mount.read_only or "ro" in _flags(options)
                mounts += bind(where, path, mount.target, read_only, self._notes, create=False)
            else:
                mounts.append(mount)
        return replace(service, mounts=tuple(mounts))

    def used(self, services: list[Service], default_size: int) -> dict[str, Volume]:
        """The volumes that the machine has: those that a service uses.

        :raises ComposeError: when a service uses one that is not declared.
        """
        used = set()
        for service in services:
            for mount in service.mounts:
                if mount.kind == "volume" and mount.source:
                    if mount.source not in self._options:
                        where = Value(self._files, mount.line)
                        error = fields.missing(where, "volume", mount.source, self._options)
                        if not self._options:
                            error.hint = 'list it under the top-level "volumes", or write ./path'
                        raise error
                    used.add(mount.source)
        fields.check_names(self._section, used | self._bound, "volume")
        for name in self._options.keys() - used - self._bound:
            text = f'the volume "{name}" has no effect: no service uses it'
            self._notes.append(Note(self._section.key_lines[name], text))
        return {
            name: self._made(name, options, default_size)
            for name, options in self._options.items()
            if name in used
        }

    def _made(self, name: str, options: _Options, default_size: int) -> Volume:
        size, line = default_size, self._section.entries[name].line
        for flag in _flags(options):
            if flag.startswith("size="):
                written = Scalar(self._files, line, flag.removeprefix("size="), "str")
                size = fields.size(written, "a volume's size")
        rest = tuple(flag for flag in _flags(options) if not flag.startswith("size="))
        return Volume(name, self._section.key_lines[name], size, rest)

    def _check(self, where: str, value: Value) -> _Options:
        """Check an entry, and return its ``driver_opts``."""
        if fields.is_null(value):
            return {}
        body = fields.mapping(value, where)
        self._notes += fields.check(body, VOLUME, where)
        entries = body.entries
        if "external" in entries and fields.external(entries["external"]):
            text = f"{where} is external: the machine has a new, empty one"
            self._notes.append(Note(body.key_lines["external"], text))
        if "driver" in entries:
            fields.choice(entries["driver"], f'"driver" of {where}', ["local", ""])
        if "driver_opts" not in entries:
            return {}
        pairs = fields.pairs(entries["driver_opts"], '"driver_opts"')
        options = {key: (given or "", option) for key, given, option in pairs}
        directory = _is_directory(options)
        for key, (given, option) in options.items():
            known = {"type": ("none", "bind") if directory else ("tmpfs",), "o": (given,),
                     "device": (given,) if directory else ("tmpfs",)}  # fmt: skip
            if given not in known.get(key, ()):
                raise option.error(f'"{key}: {given}" of {where} is not supported', _SUPPORTED)
        if not directory:
            tmpfs_options(body, _flags(options))
            return options
        if not options.get("device", ("",))[0]:
            hint = "write which directory it is (has a variable in it no value?)"
            raise body.error(f'{where} has no "device"', hint)
        for flag in _flags(options):
            if flag not in _FLAGS:
                raise options["o"][1].error(
                    f'"{flag}" of {where} is not supported', f"known: {', '.join(_FLAGS)}"
                )
        return options


def _is_directory(options: _Options) -> bool:
    """Whether it is a directory of this computer, as mount(8) binds it."""
    return bool({"bind", "rbind"} & set(_flags(options)))


def _flags(options: _Options) -> tuple[str, ...]:
    return tuple(flag for flag in options.get("o", ("",))[0].split(",") if flag)

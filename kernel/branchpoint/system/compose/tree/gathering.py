"""Compose files -> one tree: several files, ``include``, ``extends``."""

from __future__ import annotations

from collections.abc import Mapping as Variables
from collections.abc import Sequence as Paths
from dataclasses import replace
from pathlib import Path

from branchpoint.errors import ComposeError
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.environment import resolved
from branchpoint.system.compose.tree.files import Files
from branchpoint.system.compose.tree.interpolation import Interpolator, read_env_file
from branchpoint.system.compose.tree.merging import merge, settled
from branchpoint.system.compose.tree.yamltree import Document, Mapping, Value, scan

_SECTIONS = ("services", "networks", "volumes", "secrets", "configs")
_MOST_FILES = 1000
_DEEPEST = 100  # of files that include each other, and of services that extend each other
_OURS = "x-branchpoint"


class Gatherer:
    """Reads files and what they refer to.

    ``unset`` are the variables without a value, each with the line of its first use; ``ignored``
    the lines of our own sections in included files.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self.unset: dict[str, int] = {}
        self.ignored: dict[int, str] = {}
        self._read = 0
        self._scanned: dict[Path, Document] = {}

    def scanned(self, path: Path) -> Document:
        """The file before its variables have values; it is read only once.

        :raises ComposeError: for what is not YAML.
        """
        if path not in self._scanned:
            self._scanned[path] = scan(path)
        return self._scanned[path]

    def gather(
        self,
        paths: Paths[Path],
        folder: Path,
        variables: Variables[str, str],
        above: tuple[Path, ...] = (),
    ) -> Mapping:
        """The tree of all files, later ones merged over earlier ones.

        Relative paths start at ``folder``; ``above`` are the files that include these.

        :raises ComposeError: with file and line, for what cannot be read or merged.
        """
        merged: Mapping | None = None
        for path in paths:
            root = self._parse(path, folder, variables)
            root = self._with_included(root, path, variables, above)
            services = _Extending(self, path, root, variables).all()
            if services is not None:
                root = replace(root, entries={**root.entries, "services": services})
            merged = root if merged is None else fields.mapping(merge(merged, root), "a file")
        assert merged is not None
        return fields.mapping(settled(merged), "a compose file")

    def _parse(self, path: Path, folder: Path, variables: Variables[str, str]) -> Mapping:
        self._read += 1
        if self._read > _MOST_FILES:
            message = f"more than {_MOST_FILES} files are included or extended"
            raise ComposeError(message, path, hint="include fewer files, each only once")
        interpolator = Interpolator(variables, self.files.error)
        root = self.scanned(path).convert(self.files, folder, interpolator)
        if root is None:
            raise ComposeError("is empty", path, hint='it needs "services"')
        for name, line in interpolator.unset.items():
            self.unset.setdefault(name, line)
        return fields.mapping(root, "a compose file")

    def parse_beside(self, path: Path, variables: Variables[str, str]) -> Mapping:
        """A file whose relative paths start where it lies, as it is written."""
        return self._parse(path, path.parent, variables)

    # --- include -----------------------------------------------------------------------------

    def _with_included(
        self, root: Mapping, path: Path, variables: Variables[str, str], above: tuple[Path, ...]
    ) -> Mapping:
        entries = dict(root.entries)
        listed = entries.pop("include", None)
        if listed is None or fields.is_null(listed):
            return replace(root, entries=entries)
        for item in fields.sequence(listed, '"include"').items:
            included = self._included(item, variables, (*above, path))
            for key in included.entries:
                if key.startswith(_OURS):
                    self.ignored[included.key_lines[key]] = key
            for section in _SECTIONS:
                if section in included.entries:
                    entries[section] = _under(included.entries[section], entries, section)
        lines = {**dict.fromkeys(entries, root.line), **root.key_lines}
        return replace(root, entries=entries, key_lines=lines)

    def _included(
        self, item: Value, variables: Variables[str, str], above: tuple[Path, ...]
    ) -> Mapping:
        where, folder, env_files = item, None, None
        if isinstance(item, Mapping):
            what = 'an entry of "include"'
            fields.check_keys(item, ["path", "project_directory", "env_file"], what)
            if "path" not in item.entries:
                raise item.error(f'{what} lacks "path"')
            where = item.entries["path"]
            if "project_directory" in item.entries:
                written = fields.text(item.entries["project_directory"], '"project_directory"')
                folder = _local(item, written)
            if "env_file" in item.entries:
                env_files = [
                    _file(item, name)
                    for name in fields.words(item.entries["env_file"], '"env_file"')
                    if name != "/dev/null"
                ]
        paths = [_file(where, name) for name in fields.words(where, '"path" of "include"')]
        if not paths:
            raise where.error('"include" names no file')
        if paths[0] in above:
            way = " -> ".join(each.name for each in (*above, paths[0]))
            raise where.error(f"files include each other in a circle: {way}")
        if len(above) > _DEEPEST:
            raise where.error(f"files include each other more than {_DEEPEST} levels deep")
        folder = folder or paths[0].parent
        if env_files is None:
            env_files = [folder / ".env"] if (folder / ".env").is_file() else []
        own = with_env_files(variables, env_files)
        return resolved(self.gather(paths, folder, own, above), own)


class _Extending:
    """The services of one file, each with those that it extends."""

    def __init__(
        self,
        gatherer: Gatherer,
        path: Path,
        root: Mapping,
        variables: Variables[str, str],
        others: dict[Path, _Extending] | None = None,
    ) -> None:
        self.gatherer = gatherer
        self.path = path
        self.variables = variables
        section = root.entries.get("services")
        self.section = section if isinstance(section, Mapping) else None  # else refused later
        self.others = {} if others is None else others  # by path, so that each is read once
        self.others[path] = self

    def all(self) -> Mapping | None:
        """None when there are no services."""
        if self.section is None:
            return None
        entries = {name: self._whole(name, body, ()) for name, body in self.section.entries.items()}
        return replace(self.section, entries=entries)

    def _whole(self, name: str, body: Value, way: tuple[tuple[Path, str], ...]) -> Value:
        """The service with all that it extends; ``way`` are the services that extend it."""
        if not isinstance(body, Mapping) or "extends" not in body.entries:
            return body
        extends = body.entries["extends"]
        place, other, wanted = self._reference(extends)
        here = (*way, (self.path, name))
        if len(here) > _DEEPEST:
            raise place.error(f"more than {_DEEPEST} services extend each other")
        if (other.path, wanted) in here:
            circle = " -> ".join([each for _, each in here] + [wanted])
            raise place.error(f"services extend each other in a circle: {circle}")
        known = other.section.entries if other.section else {}
        if wanted not in known:
            raise fields.missing(place, "service", wanted, known)
        own = {key: value for key, value in body.entries.items() if key != "extends"}
        base = settled(other._whole(wanted, known[wanted], here))
        merged = merge(base, replace(body, entries=own), ("services", name))
        return replace(merged, line=body.line)

    def _reference(self, extends: Value) -> tuple[Value, _Extending, str]:
        """(where it is written, services of that file, name)."""
        if not isinstance(extends, Mapping):
            return extends, self, fields.text(extends, '"extends"')
        fields.check_keys(extends, ["service", "file"], '"extends"')
        if "service" not in extends.entries:
            raise extends.error('"extends" lacks "service"')
        place = extends.entries["service"]
        wanted = fields.text(place, '"service" of "extends"')
        if "file" not in extends.entries:
            return place, self, wanted
        where = extends.entries["file"]
        path = _file(where, fields.text(where, '"file" of "extends"'))
        if path not in self.others:
            root = self.gatherer.parse_beside(path, self.variables)
            _Extending(self.gatherer, path, root, self.variables, self.others)
        return place, self.others[path], wanted


def with_env_files(variables: Variables[str, str], env_files: Paths[Path]) -> dict[str, str]:
    """The variables, and those of the files, of which later ones win, where they have no value."""
    found: dict[str, str] = {}
    for path in env_files:
        found |= read_env_file(path, variables, earlier=found)
    return {**found, **variables}


def _under(included: Value, entries: dict[str, Value], section: str) -> Value:
    """A section of an included file, with what the including file says about the same things."""
    own = entries.get(section)
    return included if own is None else merge(included, own, (section,))


def _local(where: Value, written: str) -> Path:
    return (where.folder / Path(written).expanduser()).resolve()


def _file(where: Value, written: str) -> Path:
    path = _local(where, written)
    if not path.is_file():
        raise where.error(f"there is no file {written}", f"looked at {path}")
    return path

"""Packages unpacked as ``dpkg --unpack`` leaves them: their files, and dpkg's own database.

In Python, since a dpkg that runs in the emulated machine would take minutes to write what it
reads. What is left to do there are the packages' own scripts, and then ``dpkg --configure``, which
finds everything as if it had unpacked the packages itself. Like debootstrap's first stage, this
puts all files in place before the first script runs.

Where two packages have a file of the same name, dpkg's rule holds: that of the package which
*replaces* the other one stays. If neither does, one of them *diverts* the other's file, by a
script; such a package is left to dpkg in the machine (:attr:`Unpacked.left`).
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from branchpoint.errors import ImageError, SetupError
from branchpoint.guest.debian import Deb
from branchpoint.guest.tree import EPOCH, Tree

ADMIN = "var/lib/dpkg"
"""dpkg's database in the tree."""
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
FIRST = ("base-passwd", "base-files", "dpkg", "libc6", "perl-base", "mawk", "debconf")
"""The packages that debootstrap sets up before all others, in its order."""

_MERGED = ("bin", "sbin", "lib", "lib64")  # links into usr/ in every present Debian
_FIELD = re.compile(r"^([A-Za-z][\w-]*):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LARGEST_CONTROL = 64 << 20  # bytes


@dataclass(frozen=True)
class Package:
    """What a package says of itself: the fields of its control file, and the files beside it."""

    deb: Deb
    control: str
    files: dict[str, bytes]
    fields: dict[str, str] = field(init=False)
    """By name in small letters."""

    def __post_init__(self) -> None:
        found = {name.lower(): value.strip() for name, value in _FIELD.findall(self.control)}
        object.__setattr__(self, "fields", found)

    @property
    def name(self) -> str:
        return self.deb.name

    @property
    def unique_name(self) -> str:
        """The name by which dpkg keeps it: with its architecture if others may stand beside it."""
        same = self.fields.get("multi-arch") == "same"
        return f"{self.name}:{self.fields['architecture']}" if same else self.name

    @property
    def provides(self) -> set[str]:
        return {self.name} | set(names(self.fields.get("provides", "")))

    def alternatives(self, *relations: str) -> list[list[str]]:
        """What it asks for in these fields: of each inner list, one package will do."""
        parts = (part for r in relations for part in self.fields.get(r, "").split(","))
        return [names(part, "|") for part in parts if part.strip()]


@dataclass
class Unpacked:
    """A tree with packages in it that wait to be configured."""

    tree: Tree
    packages: list[Package]
    """In the order in which their ``preinst`` is to run."""
    left: list[Package]
    """Those of them that dpkg is to unpack in the machine: nothing of them is in the tree."""
    lists: dict[str, list[str]]
    """The paths of each package's files by its unique name, also of those that were before."""


def names(relation: str, separator: str = ",") -> list[str]:
    """The names in a field such as ``a (>= 1), b | c``, without versions and architectures."""
    found = (_NAME.match(part.strip()) for part in relation.split(separator))
    return [match[0] for match in found if match]


def unpack(debs: Iterable[Deb], onto: Unpacked | None = None) -> Unpacked:
    """Unpack packages into a new tree. Equal packages, equal trees.

    With ``onto``, into its tree, whose own packages are configured by now.

    :raises ImageError: for a package file that is damaged.
    """
    packages = _replaced_first([_read(deb) for deb in debs])
    tree = Tree() if onto is None else onto.tree
    lists = {} if onto is None else dict(onto.lists)
    if onto is None:
        for name in _MERGED:
            tree.add_dir(f"usr/{name}")
            tree.add_symlink(name, f"usr/{name}")
    owners = {path: name for name, paths in lists.items() for path in paths}
    left = _diverting(packages, set(owners))
    here = [package for package in packages if package not in left]
    for package in here:
        lists[package.unique_name] = _files(package, tree)
        for path in lists[package.unique_name]:
            node = tree.get(path, follow=False)
            if node is not None and not node.is_dir:
                before = owners.get(path)
                if before not in (None, package.unique_name):
                    lists[before].remove(path)  # dpkg forgets it, too
                    _rewrite_list(tree, before, lists[before])
                owners[path] = package.unique_name
    _write_database(tree, here, lists)
    return Unpacked(tree, packages, left, lists)


def found(tree: Tree, debs: Iterable[Deb]) -> Unpacked:
    """A tree in which packages are configured, as :func:`unpack` takes it."""
    packages = _replaced_first([_read(deb) for deb in debs])
    lists = {}
    for package in packages:
        lines = _text(tree, f"{ADMIN}/info/{package.unique_name}.list").split("\n")
        lists[package.unique_name] = [line[1:] for line in lines if line not in ("", "/.")]
    return Unpacked(tree, packages, [], lists)


def _read(deb: Deb) -> Package:
    data = _output("--ctrl-tarfile", deb)
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() else None
                if source is not None:
                    files[member.name.removeprefix("./")] = source.read()
        control = files.pop("control").decode("utf-8", "surrogateescape")
        return Package(deb, control, files)
    except (tarfile.TarError, KeyError) as error:
        raise _damaged(deb) from error


def _output(option: str, deb: Deb) -> bytes:
    with _dpkg_deb(option, deb) as process:
        assert process.stdout is not None
        data = process.stdout.read(_LARGEST_CONTROL)
        if process.stdout.read(1):
            process.kill()
    if process.returncode:
        raise _damaged(deb)
    return data


def _files(package: Package, tree: Tree) -> list[str]:
    """Put a package's files into the tree; their paths as dpkg lists them, without the root."""
    with _dpkg_deb("--fsys-tarfile", package.deb) as process:
        assert process.stdout is not None
        try:
            members = tree.apply_tar(process.stdout, latest=EPOCH)
        except ImageError as error:
            raise _damaged(package.deb) from error
        while process.stdout.read(1 << 16):
            pass
    if process.returncode:
        raise _damaged(package.deb)
    return [path for path in members if path]


def _dpkg_deb(option: str, deb: Deb) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(["dpkg-deb", option, deb.path], stdout=subprocess.PIPE)
    except FileNotFoundError:
        raise SetupError(
            "dpkg-deb is not installed", "images are made of Debian packages: install dpkg"
        ) from None


def _damaged(deb: Deb) -> ImageError:
    hint = f"delete it; it is downloaded again ({deb.name})"
    return ImageError(f"cannot unpack {deb.path}", hint)


def _replaced_first(packages: list[Package]) -> list[Package]:
    """In :data:`FIRST`'s order, then by name; but a package follows those that it replaces."""
    rank = {name: number for number, name in enumerate(FIRST)}
    waiting = sorted(packages, key=lambda p: (rank.get(p.name, len(rank)), p.name))
    by_name = {package.name: package for package in packages}
    done: dict[str, Package] = {}

    def add(package: Package, open_: frozenset[str]) -> None:
        if package.name in done or package.name in open_:
            return
        for name in names(package.fields.get("replaces", "")):
            if name in by_name:
                add(by_name[name], open_ | {package.name})
        done[package.name] = package

    for package in waiting:
        add(package, frozenset())
    return list(done.values())


def _diverting(packages: list[Package], there: set[str]) -> list[Package]:
    """Those that divert a file which another package has, told from their scripts."""
    found = []
    for package in packages:
        if b"dpkg-divert" not in package.files.get("preinst", b""):
            continue
        own = set(_listed(package))
        others = (set(_listed(other)) for other in packages if other is not package)
        if own & there or any(own & other for other in others):
            found.append(package)
    return found


def _listed(package: Package) -> Iterator[str]:
    """The paths of a package's files, from the list of their checksums."""
    for line in package.files.get("md5sums", b"").decode(errors="replace").splitlines():
        yield line.partition(" ")[2].strip()


# --- the database


def _write_database(tree: Tree, packages: list[Package], lists: dict[str, list[str]]) -> None:
    status = tree.read(f"{ADMIN}/status") if f"{ADMIN}/status" in tree else b""
    triggers: dict[str, list[str]] = {}
    activated: set[str] = set()
    for package in packages:
        info = f"{ADMIN}/info/{package.unique_name}"
        tree.add_file(f"{info}.list", _list(lists[package.unique_name]))
        for name, data in package.files.items():
            tree.add_file(f"{info}.{name}", data, 0o755 if name in SCRIPTS else 0o644)
        stanza = _stanza(package, tree).encode("utf-8", "surrogateescape")
        status += (b"\n" if status else b"") + stanza
        for name, line in _interests(package):
            triggers.setdefault(name, []).append(line)
        activated |= _activations(package)
    for name, lines in triggers.items():
        path = f"{ADMIN}/triggers/{name}"
        before = tree.read(path) if path in tree else b""
        tree.add_file(path, before + _lines(sorted(lines)))
    tree.add_file(f"{ADMIN}/status", status)
    tree.add_file(f"{ADMIN}/info/format", b"1\n")
    for name in ("available", "diversions", "statoverride"):
        if f"{ADMIN}/{name}" not in tree:
            tree.add_file(f"{ADMIN}/{name}", b"")
    for name in ("alternatives", "parts", "triggers", "updates"):
        if f"{ADMIN}/{name}" not in tree:
            tree.add_dir(f"{ADMIN}/{name}")
    files = [f"/{path}" for package in packages for path in lists[package.unique_name]]
    for line in _text(tree, f"{ADMIN}/triggers/File").splitlines():
        watched = line.partition(" ")[0]
        if any(file == watched or file.startswith(f"{watched}/") for file in files):
            activated.add(watched)
    # What dpkg finds here it takes for events that it has not told anybody of yet.
    tree.add_file(f"{ADMIN}/triggers/Unincorp", _lines(f"{name} -" for name in sorted(activated)))


def _rewrite_list(tree: Tree, unique_name: str, paths: list[str]) -> None:
    """Bring up to date the list of a package that is in the database, if it is."""
    path = f"{ADMIN}/info/{unique_name}.list"
    if path in tree:
        tree.add_file(path, _list(paths))


def _list(paths: list[str]) -> bytes:
    return _lines(["/.", *(f"/{path}" for path in paths)])


def _text(tree: Tree, path: str) -> str:
    return tree.read(path).decode("utf-8", "surrogateescape") if path in tree else ""


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _stanza(package: Package, tree: Tree) -> str:
    """A package's part of the file ``status``: unpacked, not yet configured."""
    head, _, rest = package.control.strip("\n").partition("\n")
    text = f"{head}\nStatus: install ok unpacked\n{rest}\n"
    sums = []
    for line in package.files.get("conffiles", b"").decode(errors="replace").splitlines():
        if line.startswith("/"):  # others are flags: files that an upgrade removes
            node = tree.get(line)
            if node is not None and node.is_file:
                digest = hashlib.md5(tree.read(line), usedforsecurity=False).hexdigest()
                sums.append(f" {line} {digest}\n")
    return text + ("Conffiles:\n" + "".join(sums) if sums else "")


def _interests(package: Package) -> Iterator[tuple[str, str]]:
    """(file in ``triggers``, line) for what the package wants to be told of."""
    for line in package.files.get("triggers", b"").decode(errors="replace").splitlines():
        match line.partition("#")[0].split():
            case [("interest" | "interest-await" | "interest-noawait") as kind, name]:
                who = package.unique_name + ("/noawait" if kind.endswith("noawait") else "")
                if name.startswith("/"):
                    yield "File", f"{name} {who}"
                elif "/" not in name:
                    yield name, who


def _activations(package: Package) -> set[str]:
    """The triggers that unpacking the package pulls."""
    lines = package.files.get("triggers", b"").decode(errors="replace").splitlines()
    words = (line.partition("#")[0].split() for line in lines)
    return {w[1] for w in words if len(w) == 2 and re.fullmatch("activate(-no)?(-?await)?", w[0])}


# --- the order


def stages(packages: list[Package], done: list[Package]) -> list[list[Package]]:
    """Groups of packages, each to be configured before the scripts of the next one run.

    Only the last has packages of which nobody says that they must be configured first
    (``Pre-Depends``). Those in ``done`` are configured. Where there are none, it is about the base
    of a system, which is one group: as with debootstrap, its scripts have to bear with each other.
    """
    waiting = list(packages)
    if not done:
        return [waiting]
    groups: list[list[Package]] = []
    known = {name for package in done for name in package.provides}
    while waiting:
        early = {
            name
            for package in waiting
            for choice in package.alternatives("pre-depends")
            if not known.intersection(choice)
            for name in choice
        }
        chosen = _with_needs(early, waiting)
        groups.append([p for p in waiting if p.name in chosen] or waiting)
        if len(groups[-1]) == len(waiting):
            break
        known |= {name for package in groups[-1] for name in package.provides}
        waiting = [p for p in waiting if p not in groups[-1]]
    return groups


def _with_needs(wanted: set[str], packages: list[Package]) -> set[str]:
    """The names of those packages that are wanted (or provide it), and of all that they need."""
    by_name: dict[str, list[Package]] = {}
    for package in packages:
        for name in package.provides:
            by_name.setdefault(name, []).append(package)
    found: set[str] = set()
    pending = sorted(wanted)
    while pending:
        for package in by_name.get(pending.pop(), []):
            if package.name not in found:
                found.add(package.name)
                for choice in package.alternatives("depends", "pre-depends"):
                    pending += choice
    return found

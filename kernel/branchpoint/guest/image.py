"""The guest image: kernel, initramfs and toolbox, built from Debian packages, cached by content."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from blake3 import blake3

from branchpoint import files, progress
from branchpoint.cache import cache_dir, kept_files
from branchpoint.debian import hosttools, lists
from branchpoint.debian.entry import PackageList
from branchpoint.decoding import Malformed, from_json, text
from branchpoint.errors import ImageError, SetupError
from branchpoint.guest import boot, compiler, debian, erofs, toolbox
from branchpoint.guest.initramfs import initramfs
from branchpoint.guest.tree import Tree

_KERNEL = "linux-image-cloud-amd64"
KERNEL = PackageList(
    "kernel", (_KERNEL,), lambda name: name.startswith("linux-image-") and name != _KERNEL
)
"""The kernel's own package; the one asked for is empty and depends on the newest."""
PACKAGES = (KERNEL, toolbox.PACKAGES, compiler.PACKAGES, erofs.PACKAGES)
"""What an image is made of and with."""
FILES = ("vmlinuz", "initrd", "toolbox")
"""What an image consists of, in the order of its digest."""
SYMBOLS = ("__switch_to_asm", "init_task")
"""What every image knows of its kernel."""
YOUNG = (
    "ptep_test_and_clear_young",
    "ptep_clear_flush_young",
    "pmdp_test_and_clear_young",
    "pmdp_clear_flush_young",
    "pudp_test_and_clear_young",
)
"""The kernel's functions that clear accessed bits; images from older bundles do not know them."""
_CHOSEN = "chosen"  # the file that has the digest of the image for new recordings
_TOOLBOX_SMALLEST = 64 << 20  # bytes
_SPACE = 1 << 30  # bytes of disk that a build from nothing may take, packages included
_HERE = Path(__file__).parent
_BUILDERS = (
    "boot", "compiler", "debian", "erofs", "image", "initramfs", "rootfs", "toolbox", "tree",
)  # fmt: skip


@dataclass(frozen=True)
class GuestImage:
    """Files to boot a guest from.

    Equal ``digest`` (hex) means equal files and an equal :func:`boot.command_line`, hence guests.
    """

    kernel: Path
    initrd: Path
    toolbox: Path
    """NVDIMM file for the first memory slot."""
    digest: str
    kallsyms: dict[str, int]
    """Addresses in the kernel: of :data:`SYMBOLS`, and of :data:`YOUNG` if they are known."""
    packages: dict[str, str] = field(default_factory=dict)
    """The Debian packages in it, with their versions, if they are known."""

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in (self.kernel, self.initrd, self.toolbox))

    @property
    def young(self) -> tuple[int, ...]:
        """Addresses of :data:`YOUNG`; none when they are not known."""
        return tuple(self.kallsyms[name] for name in YOUNG if name in self.kallsyms)


class _Facts(msgspec.Struct):
    """What ``image.json`` says."""

    digest: str
    kallsyms: dict[str, int]
    packages: dict[str, str] = {}


def ensure_image() -> GuestImage:
    """The guest image of new recordings: the one that was chosen (:func:`choose`), else today's.

    It is in the cache, or built now (about 25 s and 120 MB of packages at first).

    :raises SetupError: without network (first build only), C compiler or disk space.
    """
    return chosen() or built()


def choose(digest: str) -> None:
    """Let new recordings use the image with this digest, as long as it is in the cache.

    :raises SetupError: when it is not there.
    """
    if find(digest) is None:
        raise SetupError(
            f"the guest image {digest} is not on this computer", "see: branchpoint machine"
        )
    with files.publish(cache_dir() / "guest" / _CHOSEN) as file:
        file.write_text(digest)


def chosen() -> GuestImage | None:
    """The image that was chosen for new recordings, if any."""
    try:
        return find(text((cache_dir() / "guest" / _CHOSEN).read_bytes()))
    except (OSError, Malformed):
        return None


def built() -> GuestImage:
    """The guest image of today's packages; see :func:`ensure_image`."""
    with files.locked("guest-image"):
        if not (cache_dir() / "guest").exists():
            files.need_space(cache_dir(), _SPACE)  # before the first package is downloaded
        folder = cache_dir() / "guest" / _key()
        if not (folder / "image.json").exists():
            files.need_space(cache_dir(), _SPACE)
            with progress.task("guest image", 5, "steps") as task, files.publish(folder) as new:
                new.mkdir()
                build(new, task)
    return load(folder)


def find(digest: str) -> GuestImage | None:
    """The image with this digest, if it is in the cache: the one whose kernel is known best."""
    images = (load(file.parent) for file in kept_files("guest", "image.json"))
    known = (i for i in images if i.digest == digest and i.kallsyms.keys() >= set(SYMBOLS))
    return max(known, key=lambda each: (len(each.kallsyms), len(each.packages)), default=None)


def load(folder: Path) -> GuestImage:
    """The image that :func:`build` put into ``folder``."""
    try:
        facts: _Facts = from_json((folder / "image.json").read_bytes(), _Facts)
        return GuestImage(
            kernel=folder / "vmlinuz",
            initrd=folder / "initrd",
            toolbox=folder / "toolbox",
            digest=facts.digest,
            kallsyms=facts.kallsyms,
            packages=facts.packages,
        )
    except (OSError, Malformed) as error:
        raise ImageError(
            f"the guest image in {folder} is damaged", "delete that directory; it is built again"
        ) from error


def build(folder: Path, task: progress.Task) -> None:
    """Build the image into ``folder`` (existing, empty). Same packages and sources, same bytes."""
    task.update(0, "packages")
    debs = lists.take(KERNEL)
    kernel = debian.unpack(debs)
    image = next(path for path, node in kernel.walk() if path.startswith("boot/vmlinuz"))
    (folder / "vmlinuz").write_bytes(kernel.read(image))
    tools = toolbox.toolbox()
    task.update(1, "toolbox")
    erofs.write_nvdimm(tools, folder / "toolbox", _TOOLBOX_SMALLEST)
    task.update(2, "agent")
    agent = compile_agent()
    task.update(3, "initramfs")
    (folder / "initrd").write_bytes(initramfs(agent, kernel))
    task.update(4, "kernel symbols")
    symbols = _symbols(folder / "vmlinuz", tools)
    packages = {deb.name: deb.version for deb in [*debs, *lists.take(toolbox.PACKAGES)]}
    describe(folder, digest_of(folder), symbols, packages)
    task.update(5, "done")


def digest_of(folder: Path) -> str:
    """The digest of the image whose files lie in ``folder``."""
    digest = blake3(_start().encode())
    for name in FILES:
        digest.update(blake3().update_mmap(folder / name).digest())
    return digest.hexdigest(16)


def describe(
    folder: Path, digest: str, symbols: dict[str, int], packages: dict[str, str] | None = None
) -> None:
    """Write what makes the files in ``folder`` an image that :func:`find` finds."""
    facts = {"digest": digest, "kallsyms": symbols, "packages": packages or {}}
    (folder / "image.json").write_text(json.dumps(facts, indent=1))


def compile_agent() -> bytes:
    """The agent as a static program, from the C files in ``agent/``."""
    return compiler.static_program(sorted((_HERE / "agent").rglob("*.c")))


def _start() -> str:
    """How the guest is started, which is as much a part of it as its files."""
    return boot.command_line(1 << 30)


def _key() -> str:
    """Names what the image is made from: packages, the agent's source, the builder itself."""
    key = blake3()
    for packages in PACKAGES:
        key.update(lists.fingerprint(packages).encode())
    key.update(_start().encode())
    builders = [*(_HERE / f"{name}.py" for name in _BUILDERS), Path(hosttools.__file__)]
    programs = [*sorted((_HERE / "agent").rglob("*.[ch]")), *toolbox.SOURCES]
    for source in [*builders, *programs]:
        key.update(source.name.encode() + b"\0" + blake3(source.read_bytes()).digest())
    return key.hexdigest(16)


def _symbols(kernel: Path, tools: Tree) -> dict[str, int]:
    """The kernel's symbols, from the cache when this kernel was asked before."""
    names = SYMBOLS + YOUNG
    digest = blake3(" ".join(names).encode()).update_mmap(kernel).hexdigest(16)
    kept = cache_dir() / "guest" / f"kallsyms-{digest}.json"
    try:
        return from_json(kept.read_bytes(), dict[str, int])
    except (OSError, Malformed):
        symbols = boot.kernel_symbols(kernel, tools.read("bin/busybox"), names)
        with files.publish(kept) as path:
            path.write_text(json.dumps(symbols))
        return symbols

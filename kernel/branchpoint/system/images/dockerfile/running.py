"""RUN: a process in the tree built so far, started as docker starts it, in the machine.

It is a container like those of a system, by the same runtime and with the same defaults; only its
changes stay. There is no network, and an error says so when that looks like the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from branchpoint import progress
from branchpoint.errors import ImageError
from branchpoint.guest import workshop
from branchpoint.guest.tree import Node, Tree, clone
from branchpoint.system.bundle.oci import Bind, Process, bundle_config
from branchpoint.system.images import configuring
from branchpoint.system.images.accounts import identify
from branchpoint.system.images.configuring import Failed
from branchpoint.system.images.dockerfile.mounts import Scratch
from branchpoint.system.model import ContainerSpec, Mount, Service

SCRIPTS = "/dev/pipes"
"""Where a RUN finds the scripts that were written in it."""

_SHOWN = 12  # last lines of output in an error
_LONGEST = 300  # characters of each, and of the command
_ROOT, _BUNDLE, _EXTRA = "/run/w/root", "/run/w/bundle", "/system/extra"  # see contain.sh
_FETCHES = re.compile(
    r"(?<![\w./-])(?:(?:/\w+)*/bin/)?"
    r"(?:apt|apt-get|apk|bundle|cargo|composer|conda|curl|dnf|gem|git|go|gradle|mamba|"
    r"microdnf|mvn|npm|npx|pacman|pip3?|pipx|pnpm|poetry|uv|wget|yarn|yum|zypper)(?![\w./=-])"
)
_UNREACHED = re.compile(
    r"could not resolve|name resolution|failure resolving|network is unreachable|no such host|"
    r"name or service not known|bad address|getaddrinfo|EAI_AGAIN|ENETUNREACH|unable to resolve|"
    r"failed to fetch|could not connect|connection refused|no route to host",
    re.IGNORECASE,
)
_NO_NETWORK = (
    "take programs from Debian packages (a base image by x-branchpoint-debian), COPY what is "
    "needed from the context, or build the image elsewhere and give it as an archive: "
    "docker save -o FILE.tar IMAGE"
)


@dataclass(frozen=True)
class Job:
    """A process that RUN starts."""

    shown: str
    args: tuple[str, ...]
    environment: tuple[str, ...]  # K=V
    working_dir: str
    user: str
    scripts: tuple[tuple[str, str], ...] = ()  # (name, content)
    scratch: tuple[Scratch, ...] = ()


def run(tree: Tree, job: Job, mounted: list[tuple[str, Node]]) -> None:
    """Change ``tree`` into what the job makes of it; equal jobs on equal trees run only once.

    ``mounted`` are the nodes of others that it sees, read-only, each with its place.

    :raises ImageError: when it fails, with its last words.
    """
    extra = Tree()
    extra.add_dir("binds")
    for number, (_, node) in enumerate(mounted):
        extra.root.children["binds"].children[str(number)] = clone(node, {})
    for name, content in job.scripts:
        extra.add_file(f"pipes/{name}", content.encode("utf-8", "surrogateescape"), 0o755)
    places = [target for target, _ in mounted]
    config = json.dumps(_configuration(tree, job, places), indent=1)
    with progress.task(f"RUN {_short(job.shown)}") as task:
        stubs = [
            way
            for place in _places(job, places)
            for way in (place, *map(str, PurePosixPath(place).parents))  # the deepest first
            if tree.get(way, follow=False) is None
        ]
        tell: Callable[[str], None] = lambda line: task.update(note=line[:_LONGEST])  # noqa: E731
        try:
            configuring.change(tree, config, extra, tell, task.update, workshop.CONTAINER)
        except Failed as failure:
            raise _error(job, failure) from None
    for place in stubs:  # that the runtime has made to mount something there
        _remove_empty(tree, place)


def _places(job: Job, mounted: list[str]) -> list[str]:
    """Where something is mounted that the user asked for, and the file that every container has."""
    return ["/etc/hosts", *mounted, *(each.target for each in job.scratch)]


def _remove_empty(tree: Tree, path: str) -> None:
    node = tree.get(path, follow=False)
    if node is None or node.children or (node.content is not None and node.content.size):
        return
    if node.is_dir or node.is_file:
        tree.remove(path)


def _configuration(tree: Tree, job: Job, places: list[str]) -> dict[str, object]:
    """The OCI configuration of the process: that of a container of a system, with this root."""
    identity = identify(tree, job.user)
    environment = dict(entry.partition("=")[::2] for entry in job.environment)
    environment.setdefault("HOME", identity.home)
    words = tuple(f"{key}={value}" for key, value in environment.items())
    process = Process(job.args, words, job.working_dir, identity, 15, None)
    service = Service("run", 0, {})
    container = ContainerSpec("run", "run", 1, "build", (), (), ())
    binds = [Bind(f"{_BUNDLE}/hosts", "/etc/hosts", True)]
    if job.scripts:
        binds.append(Bind(f"{_EXTRA}/pipes", SCRIPTS, True))
    binds += [Bind(f"{_EXTRA}/binds/{n}", place, True) for n, place in enumerate(places)]
    tmpfs = [Mount("tmpfs", each.target, 0, options=each.options) for each in job.scratch]
    config = bundle_config(service, container, process, binds, tmpfs)
    config["root"] = {"path": _ROOT, "readonly": False}
    config["mounts"] = [m for m in config["mounts"] if m["type"] != "cgroup"]
    config["linux"]["namespaces"] = [
        {"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")
    ]
    for useless in ("cgroupsPath", "resources"):
        del config["linux"][useless]
    return config


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _error(job: Job, failure: Failed) -> ImageError:
    code, lines = failure.outcome.code, failure.outcome.lines
    what = f"RUN {_short(job.shown)}\n    ended with code {code}"
    hint = ""
    if _FETCHES.search(job.shown) or any(map(_UNREACHED.search, lines)):
        what += ", and RUN has no network here"
        hint = _NO_NETWORK
    said = "".join(f"\n    {line[:_LONGEST]}" for line in lines[-_SHOWN:])
    return ImageError(f"{what}; the last that was said:{said}" if said else what, hint)

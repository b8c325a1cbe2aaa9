"""``setup.sh``: run once in the guest, as root, by busybox' shell, before any container starts.

A container that may become another version has a script for each, which makes its file system anew.

It is fixed and sequential, so that every run does the same. Files stay on tmpfs;
images are never copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote

from branchpoint.system.bundle.oci import RUN, Bind
from branchpoint.system.bundle.project_mounts import Writable
from branchpoint.system.bundle.runtime_files import ROOT
from branchpoint.system.model import MACHINE, ContainerSpec, System

_HEAD = f"""\
#!/bin/sh
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
here={ROOT}
run={RUN}

overlay() {{ # LOWER LAYER ROOT
    mkdir -p "$3"
    mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" branchpoint "$3"
}}
# A new volume starts with what the image has there, its owner and mode included.
fill() {{ # FROM VOLUME
    if [ -d "$1" ] && [ -z "$(ls -A "$2")" ]; then cp -a "$1/." "$2/"; fi
}}
"""
_FIRST = """
# Interfaces get no addresses but ours; what is sent out of the system comes back as unreachable.
set_to() { if [ -w "$2" ]; then echo "$1" > "$2"; fi; }
set_to 1 /proc/sys/net/core/devconf_inherit_init_net
set_to 1 /proc/sys/net/ipv6/conf/default/addr_gen_mode
set_to 1 /proc/sys/net/ipv4/ip_forward

# The writable layer of a file system: sized, with what overlayfs needs.
layer() { # DIRECTORY SIZE
    mkdir -p "$1"
    mount -t tmpfs -o "size=$2,mode=755" branchpoint "$1"
    mkdir "$1/upper" "$1/work"
}
"""

_IPV6 = """\
# Containers are told their router: nobody asks for one, at instants that are drawn.
set_to 0 /proc/sys/net/ipv6/conf/default/accept_ra
ip -batch "$here/network/host"
ip -6 -batch "$here/network/host6"
"""

_ROOTED = re.compile(
    r'^overlay "(?:\$here/lower:)?/system/images/([^"/]+)" "\$run/c/([^"/]+)/rw"', re.M
)
_COPIED = re.compile(r"^(?:overlay|cp -p) (/system/branchpoint/binds/\S+) (?:\S+ )?(\S+)$", re.M)


@dataclass(frozen=True)
class Rooting:
    """How a container's file system is made.

    ``fills``: (path in the image, volume to fill from it); ``made``: a directory to create in it.
    """

    container: ContainerSpec
    image: str  # name of the directory below /system/images
    directories: tuple[str, ...] = ()  # of anonymous volumes, absolute in the guest
    fills: tuple[tuple[str, str], ...] = ()
    made: str = ""


def volume_path(name: str) -> str:
    """The path of a named volume in the guest."""
    return f"{RUN}/v/{name}"


def anonymous_path(container: ContainerSpec, number: int) -> str:
    """The path of a container's anonymous volume in the guest, on its writable layer."""
    return f"{RUN}/c/{container.name}/rw/volumes/{number}"


def etc_binds(container: ContainerSpec) -> list[Bind]:
    """The files that docker also places into every container; they are writable."""
    return [
        Bind(f"{RUN}/c/{container.name}/etc/{name}", f"/etc/{name}", False)
        for name in ("hosts", "hostname", "resolv.conf")
    ]


def script(system: System, rootings: list[Rooting], copies: list[Writable]) -> str:
    """The text of setup.sh."""
    ipv6 = any(network.subnet6 for network in system.networks.values())
    lines = [_HEAD + _FIRST, _IPV6 if ipv6 else 'ip -batch "$here/network/host"']
    for container in system.containers:
        if container.network_of not in ("", MACHINE):
            continue
        lines.append(f'ip -n {container.name} -batch "$here/network/containers/{container.name}"')
        if container.endpoints:
            lines.append(f'nsenter --net=/run/netns/{container.name} nft -f "$here/network/names"')
    for volume in system.volumes.values():
        options = ",".join([f"size={volume.size}", "mode=755", *volume.options])
        lines.append(f'mkdir -p "$run/v/{volume.name}"')
        lines.append(f'mount -t tmpfs -o {quote(options)} branchpoint "$run/v/{volume.name}"')
    for copy in copies:
        lines += _copied(copy, system.upper)
    for rooting in rootings:
        lines += _root(rooting, system.upper)
    return "\n".join(lines) + "\n"


def _copied(copy: Writable, upper: int) -> list[str]:
    lines = [f"\nlayer {copy.layer} {upper}"]
    if copy.file:
        lines.append(f"cp -p {copy.lower} {copy.place}")
    else:
        lines += [
            f"chown {copy.uid}:{copy.gid} {copy.layer}/upper",
            f"overlay {copy.lower} {copy.layer} {copy.place}",
        ]
    return lines


def rooted(text: str) -> dict[str, list[str]]:
    """The containers of each image, by the name of its directory, from the text of setup.sh."""
    found: dict[str, list[str]] = {}
    for image, container in _ROOTED.findall(text):
        found.setdefault(image, []).append(container)
    return found


def copied(text: str) -> dict[str, str]:
    """Of what may be written in files of the project: where in the guest that is, and which part of
    the system image it begins as; from the text of setup.sh.
    """
    return {place: lower for lower, place in _COPIED.findall(text)}


def renewal(rooting: Rooting) -> str:
    """The text of a script that makes a container's file system anew; its volumes stay."""
    own = f'"$run/c/{rooting.container.name}'
    lines = [
        _HEAD,
        f'umount -l {own}/rootfs"',
        f'rm -rf {own}/rw/upper" {own}/rw/work"',
        f'mkdir {own}/rw/upper" {own}/rw/work"',
        *_overlay(rooting),
    ]
    return "\n".join(lines) + "\n"


def _root(rooting: Rooting, upper: int) -> list[str]:
    name = rooting.container.name
    return [
        f'\nlayer "$run/c/{name}/rw" {upper}',
        f'cp -r "$here/containers/{name}/etc" "$run/c/{name}/etc"',
        *_overlay(rooting),
    ]


def _overlay(rooting: Rooting) -> list[str]:
    name = rooting.container.name
    root = f"$run/c/{name}/rootfs"
    lines = [f'overlay "/system/images/{rooting.image}" "$run/c/{name}/rw" "{root}"']
    if rooting.directories:
        lines.append(f"mkdir -p {' '.join(quote(path) for path in rooting.directories)}")
    if rooting.made:
        lines.append(f'mkdir -p "{root}"/{quote(rooting.made)}')
    lines += [f'fill "{root}"/{quote(path)} {quote(to)}' for path, to in rooting.fills]
    return lines

"""The small text files of a system image: hosts, resolv.conf, system.conf, network batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import TypeAlias

from branchpoint.errors import ImageError
from branchpoint.system.bundle import templates
from branchpoint.system.bundle.oci import RUN, Bind, Process, network_namespace
from branchpoint.system.compose.networks import mac
from branchpoint.system.model import (
    GATEWAY,
    MACHINE,
    ContainerSpec,
    Endpoint,
    Hook,
    Resolver,
    Service,
    System,
)

Part: TypeAlias = tuple[Service, ContainerSpec, Process, list[Bind]]
"""A container as it is for a service: its own one, or another one that it may become."""
ROOT = "/system/branchpoint"  # in the guest: where these files are
RENEWAL = "renew.sh"
"""The script that makes a container's file system anew, in the folder of its bundle."""
NO_ROUTE_TABLE = 99  # a routing table of the guest without a way out
_MAX_CONF = 1 << 20  # bytes that the agent reads of system.conf

_RESOLV_CONF = (
    "# Names resolve by /etc/hosts; there is no name server.\noptions timeout:1 attempts:1\n"
)


def resolv_conf(resolver: Resolver) -> str:
    """/etc/resolv.conf: what the service says, which is asked after /etc/hosts."""
    if resolver == Resolver():
        return _RESOLV_CONF
    lines = [f"nameserver {server}" for server in resolver.servers]
    lines += [f"search {' '.join(resolver.search)}"] if resolver.search else []
    lines += [f"options {' '.join(resolver.options)}"] if resolver.options else []
    return "\n".join(lines) + "\n"


def hosts(system: System, container: ContainerSpec) -> str:
    """/etc/hosts: the container itself, then all it can reach, in the order of its networks."""
    lines = [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        "ff02::1 ip6-allnodes",
        "ff02::2 ip6-allrouters",
    ]
    service = system.services[container.service]
    sharing = system.container(container.network_of)
    if sharing is not None:  # as the engines do: it has the file of the other one
        return hosts(system, sharing)
    aliases: dict[str, list[str]] = {}
    for link in service.links:
        aliases.setdefault(link.service, []).append(link.alias)
    if not container.endpoints:
        lines.append(f"127.0.1.1 {container.hostname}")
    for endpoint in container.endpoints:
        full = f"{container.hostname}.{service.domainname} " if service.domainname else ""
        names = dict.fromkeys([container.hostname, *endpoint.names])
        lines.append(f"{endpoint.address} {full}{' '.join(names)}")
    for endpoint in container.endpoints:
        for other in system.containers:
            for theirs in other.endpoints:
                if other is not container and theirs.network == endpoint.network:
                    names = dict.fromkeys([*theirs.names, *aliases.get(other.service, ())])
                    lines.append(f"{theirs.address} {' '.join(names)}")
    first = container.endpoints[0].network if container.endpoints else None
    machine = system.networks[first].gateway if first else "127.0.0.1"
    for name, address in service.extra_hosts:
        lines.append(f"{machine if address == GATEWAY else address} {name}")
    return "\n".join(lines) + "\n"


def host_network(system: System) -> str:
    """Input of ``ip -batch`` in the guest itself: bridges, namespaces, pairs of interfaces.

    The guest forwards packets, but has no route to other networks: a container that sends to one
    gets "unreachable" at once, instead of waiting for lost packets.
    """
    lines = [f"route add unreachable default table {NO_ROUTE_TABLE}"]
    for network in system.networks.values():
        prefix = IPv4Network(network.subnet).prefixlen
        lines += [
            f"link add {network.bridge} address {mac(network.gateway)} "
            "type bridge forward_delay 0 mcast_snooping 0",
            f"addr add {network.gateway}/{prefix} dev {network.bridge}",
            f"link set {network.bridge} up",
            f"rule add iif {network.bridge} lookup {NO_ROUTE_TABLE}",
        ]
    for container in system.containers:
        if container.network_of == MACHINE:
            lines.append(f"netns attach {container.name} 1")
        elif not container.network_of:
            lines.append(f"netns add {container.name}")
        for endpoint in container.endpoints:
            bridge = system.networks[endpoint.network].bridge
            lines += [
                f"link add {endpoint.veth} address {_bridge_side(endpoint)} type veth "
                f"peer name {endpoint.interface} address {endpoint.mac} netns {container.name}",
                f"link set {endpoint.veth} master {bridge} up",
            ]
    return "\n".join(lines) + "\n"


def _bridge_side(endpoint: Endpoint) -> str:
    """MAC of the interface's other end: fixed, and different from the container's."""
    return endpoint.mac.replace("02:42:", "02:43:", 1)


def container_network(system: System, container: ContainerSpec) -> str:
    """Input of ``ip -batch`` in a container's network namespace."""
    lines = ["link set lo up"]
    default = ""
    for endpoint in container.endpoints:
        network = system.networks[endpoint.network]
        prefix = IPv4Network(network.subnet).prefixlen
        lines += [
            f"addr add {endpoint.address}/{prefix} broadcast + dev {endpoint.interface}",
            f"link set {endpoint.interface} up",
        ]
        if not network.internal and not default:
            default = f"route add default via {network.gateway} dev {endpoint.interface}"
    return "\n".join([*lines, default] if default else lines) + "\n"


def configuration(
    system: System,
    parts: list[Part],
    tests: Mapping[str, Sequence[templates.Command]],
) -> str:
    """system.conf: what the agent has to supervise, and the ``tests`` of each container.

    ``parts`` has all versions of a container one after the other, its first one in front.

    :raises ImageError: when it would be larger than the agent reads.
    """
    lines = ["setup sdk"] if system.setup == "sdk" else []
    for service, container, process, binds in parts:
        name = container.name
        first = not service.version
        if first:
            lines.append(f"container {name}")
        if container.versions:
            lines += [
                f"version {service.version or service.name}",
                f"renew {ROOT}/{bundle_folder(container, service)}/{RENEWAL}",
            ]
        lines += [
            f"bundle {ROOT}/{bundle_folder(container, service)}",
            f"rootfs {RUN}/c/{name}/rootfs",
            f"netns {network_namespace(container)}",
        ]
        if first:
            lines += [f"depends {d.name} {d.condition}" for d in container.depends]
        if health := process.healthcheck:
            lines.append(
                f"healthcheck {health.interval} {health.timeout} {health.retries} "
                f"{health.start_period} {health.start_interval}"
            )
            lines += [f"healtharg {_escaped(word)}" for word in health.test or ()]
        lines += [
            f"restart {service.restart.policy} {service.restart.limit}",
            f"stop {process.stop_signal} {service.stop_grace}",
        ]
        if service.timer_slack is not None:
            lines.append(f"slack {service.timer_slack}")
        lines += [f"env {_escaped(entry)}" for entry in process.environment]
        # what is mounted in it, for commands that run there after it has ended
        lines += [f"mount {bind.source} {_escaped(bind.target)}" for bind in binds]
        lines += [
            f"workdir {_escaped(process.working_dir)}",
            f"user {process.identity.uid} {process.identity.gid}",
        ]
        for hook in service.post_start:
            lines += _hook(hook, process)
        if first:
            lines += templates.lines(tests[name])
    text = "\n".join(lines) + "\n"
    if len(text.encode("utf-8", "surrogateescape")) >= _MAX_CONF:
        raise ImageError(f"all environments together are larger than {_MAX_CONF >> 20} MiB")
    return text


def bundle_folder(container: ContainerSpec, service: Service) -> str:
    """Where the bundle of a container is, as it is for this service."""
    own = f"containers/{container.name}"
    return f"{own}/versions/{service.version}" if service.version else own


def _hook(hook: Hook, process: Process) -> list[str]:
    given = {f"{name}={value}" for name, value in hook.environment.items()}
    inherited = [e for e in process.environment if e.partition("=")[0] not in hook.environment]
    lines = ["hook privileged" if hook.privileged else "hook"]
    lines += [f"hookarg {_escaped(word)}" for word in hook.command]
    lines += [f"hookenv {_escaped(entry)}" for entry in (*inherited, *sorted(given))]
    lines.append(f"hookdir {_escaped(hook.working_dir or process.working_dir)}")
    if hook.user is not None:
        lines.append(f"hookuser {_escaped(hook.user)}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\n", "%0A")

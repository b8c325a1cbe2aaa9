"""The small text files of a system image: hosts, resolv.conf, system.conf, network batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network
from typing import TypeAlias

from branchpoint.errors import ImageError
from branchpoint.guest import wire
from branchpoint.system.bundle import templates
from branchpoint.system.bundle.oci import (
    RUN,
    Bind,
    Process,
    network_namespace,
    resource_limits,
)
from branchpoint.system.compose.ipam import subnets
from branchpoint.system.compose.networks import mac
from branchpoint.system.linux import RLIMITS
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

NAME_SERVER = "127.0.0.11"
"""Where the agent answers in the network of each container, as the usual engines do."""

_NO_SERVER = "# No name server: names resolve by /etc/hosts.\noptions timeout:1 attempts:1\n"


def resolv_conf(system: System, container: ContainerSpec) -> str:
    """/etc/resolv.conf: the agent's name server, or those of the system that the service names."""
    resolver = _resolver(system, container)
    if _asks_agent(system, container):
        own = any(option.startswith("ndots:") for option in resolver.options)
        servers, options = [NAME_SERVER], [*resolver.options, *([] if own else ["ndots:0"])]
    elif resolver == Resolver():
        return _NO_SERVER
    else:
        servers, options = list(resolver.servers), list(resolver.options)
    lines = [f"nameserver {server}" for server in servers]
    lines += [f"search {' '.join(resolver.search)}"] if resolver.search else []
    lines += [f"options {' '.join(options)}"] if options else []
    return "\n".join(lines) + "\n"


def _resolver(system: System, container: ContainerSpec) -> Resolver:
    """What its service says, or that of the container whose network it shares."""
    own = system.services[container.service].resolver
    sharing = system.container(container.network_of)
    return _resolver(system, sharing) if sharing and own == Resolver() else own


def _asks_agent(system: System, container: ContainerSpec) -> bool:
    """Whether the agent is its name server: it has networks, and names no server inside them.

    A server outside could not be reached. The engines ask it only after names that they do not know
    themselves, so without it these are unknown, and all others as with it.
    """
    all_ = [block.parsed for n in system.networks.values() for block in subnets(n).values()]
    servers = [ip_address(text) for text in _resolver(system, container).servers]
    inside = any(a.is_loopback or any(a in subnet for subnet in all_) for a in servers)
    return bool(_of_network(system, container).endpoints) and not inside


def _of_network(system: System, container: ContainerSpec) -> ContainerSpec:
    """The container whose network it shares, or itself."""
    sharing = system.container(container.network_of)
    return _of_network(system, sharing) if sharing else container


def hosts(system: System, container: ContainerSpec) -> str:
    """/etc/hosts: the container itself, and the names that its service adds.

    Where it does not ask the agent, also all others in its networks: nothing else knows them.
    """
    lines = [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        "ff02::1 ip6-allnodes",
        "ff02::2 ip6-allrouters",
    ]
    asks = _asks_agent(system, container)
    container = _of_network(system, container)  # as the engines do: it has the file of the other
    service = system.services[container.service]
    if not container.endpoints:
        lines.append(f"127.0.1.1 {container.hostname}")
    full = f"{container.hostname}.{service.domainname} " if service.domainname else ""
    for endpoint in container.endpoints:
        names = dict.fromkeys([container.hostname, *(() if asks else endpoint.names)])
        lines += [f"{address} {full}{' '.join(names)}" for address in endpoint.addresses]
    lines += [] if asks else _others(system, container)
    first = container.endpoints[0].network if container.endpoints else None
    machine = system.networks[first].gateway if first else "127.0.0.1"
    for name, address in service.extra_hosts:
        lines.append(f"{machine if address == GATEWAY else address} {name}")
    return "\n".join(lines) + "\n"


def _others(system: System, container: ContainerSpec) -> list[str]:
    """Lines of /etc/hosts for all that a container can reach, in the order of its networks."""
    aliases: dict[str, list[str]] = {}
    for link in system.services[container.service].links:
        aliases.setdefault(link.service, []).append(link.alias)
    return [
        f"{address} {' '.join(dict.fromkeys([*theirs.names, *aliases.get(o.service, ())]))}"
        for endpoint in container.endpoints
        for o in system.containers
        for theirs in o.endpoints
        if o is not container and theirs.network == endpoint.network
        for address in theirs.addresses
    ]


NAMES = f"""\
# A name server of the system may want port 53 of all addresses, so the agent's has another one.
table netdev names {{
    chain lo {{
        type filter hook ingress device lo priority 0
        ip daddr {NAME_SERVER} udp dport 53 udp dport set 61053
        ip daddr {NAME_SERVER} tcp dport 53 tcp dport set 61053
        ip saddr {NAME_SERVER} udp sport 61053 udp sport set 53
        ip saddr {NAME_SERVER} tcp sport 61053 tcp sport set 53
    }}
}}
"""
"""Input of ``nft`` in the network of a container that has the agent's name server."""


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


def host_network6(system: System) -> str:
    """Input of ``ip -6 -batch`` after that; "" where no network has IPv6.

    No address is first asked for in the network (``nodad``): that takes a time that is drawn.
    """
    lines = []
    for network in system.networks.values():
        if network.subnet6:
            dev = f"dev {network.bridge} nodad"
            lines += [
                f"addr add {_link_local(mac(network.gateway))} {dev}",
                f"addr add {_with_prefix(network.gateway6, network.subnet6)} {dev}",
                f"rule add iif {network.bridge} lookup {NO_ROUTE_TABLE}",
            ]
    first = f"route add unreachable default table {NO_ROUTE_TABLE}"
    return "\n".join([first, *lines]) + "\n" if lines else ""


def _with_prefix(address: str, subnet: str) -> str:
    return f"{address}/{ip_network(subnet).prefixlen}"


def _link_local(mac_address: str) -> str:
    """The address that Linux makes for an interface itself, but later: EUI-64 of its MAC."""
    first, *others = bytes.fromhex(mac_address.replace(":", ""))
    host = bytes([first ^ 2, *others[:2], 0xFF, 0xFE, *others[2:]])
    return f"{IPv6Address(bytes.fromhex('fe80' + '00' * 6) + host)}/64"


def _bridge_side(endpoint: Endpoint) -> str:
    """MAC of the interface's other end: fixed, and different from the container's."""
    return endpoint.mac.replace("02:42:", "02:43:", 1)


def container_network(system: System, container: ContainerSpec) -> str:
    """Input of ``ip -batch`` in a container's network namespace."""
    lines = ["link set lo up"]
    default = default6 = ""
    for endpoint in container.endpoints:
        network = system.networks[endpoint.network]
        prefix = IPv4Network(network.subnet).prefixlen
        lines += [
            f"addr add {endpoint.address}/{prefix} broadcast + dev {endpoint.interface}",
            f"link set {endpoint.interface} up",
        ]
        if network.subnet6:
            dev = f"dev {endpoint.interface} nodad"
            lines += [
                f"addr add {_link_local(endpoint.mac)} {dev}",
                f"addr add {_with_prefix(endpoint.address6, network.subnet6)} {dev}",
            ]
        if not network.internal:
            out = f"dev {endpoint.interface}"
            default = default or f"route add default via {network.gateway} {out}"
            if network.subnet6:
                default6 = default6 or f"route add ::/0 via {network.gateway6} {out}"
    return "\n".join([*lines, *filter(None, (default, default6))]) + "\n"


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
        for e in container.endpoints:
            lines.append(f"address {e.network} {e.address} {' '.join(e.names)}")
            lines += [f"address6 {e.address6}"] if e.address6 else []
        lines += [
            f"link {link.alias} {other.name}"
            for link in service.links
            for other in system.containers
            if other.service == link.service
        ]
        if health := process.healthcheck:
            lines.append(
                f"healthcheck {health.interval} {health.timeout} {health.retries} "
                f"{health.start_period} {health.start_interval}"
            )
            lines += [f"healtharg {wire.encoded(word)}" for word in health.test or ()]
        lines += [
            f"restart {service.restart.policy} {service.restart.limit}",
            f"stop {process.stop_signal} {service.stop_grace}",
        ]
        who = process.identity
        if service.timer_slack is not None:
            lines.append(f"slack {service.timer_slack}")
        lines += [f"env {wire.encoded(entry)}" for entry in process.environment]
        # what is mounted in it, for commands that run there after it has ended
        lines += [f"mount {bind.source} {wire.encoded(bind.target)}" for bind in binds]
        lines += [
            f"workdir {wire.encoded(process.working_dir)}",
            f"user {' '.join(map(str, (who.uid, who.gid, *who.groups)))}",
        ]
        lines += [
            f"limit {RLIMITS[resource]} {soft} {hard}"
            for resource, (soft, hard) in resource_limits(service).items()
        ]
        for hook in service.post_start:
            lines += _hook(hook, process)
        if first:
            lines += templates.lines(tests[name])
    text = "\n".join(lines) + "\n"
    if len(text.encode("utf-8", "surrogateescape")) >= _MAX_CONF:
        raise ImageError(f"all environments together are larger than {_MAX_CONF >> 20} MiB")
    return text


def mounted(text: str) -> Iterator[tuple[str, str, str]]:
    """What is mounted into containers, from the text of system.conf: of each its container, where
    it lies in the guest, and where it is in the container.
    """
    container = ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "container":
            container = rest
        elif word == "mount":
            source, _, target = rest.partition(" ")
            yield container, source, wire.decoded(target)


def bundle_folder(container: ContainerSpec, service: Service) -> str:
    """Where the bundle of a container is, as it is for this service."""
    own = f"containers/{container.name}"
    return f"{own}/versions/{service.version}" if service.version else own


def _hook(hook: Hook, process: Process) -> list[str]:
    given = {f"{name}={value}" for name, value in hook.environment.items()}
    inherited = [e for e in process.environment if e.partition("=")[0] not in hook.environment]
    lines = ["hook privileged" if hook.privileged else "hook"]
    lines += [f"hookarg {wire.encoded(word)}" for word in hook.command]
    lines += [f"hookenv {wire.encoded(entry)}" for entry in (*inherited, *sorted(given))]
    lines.append(f"hookdir {wire.encoded(hook.working_dir or process.working_dir)}")
    if hook.user is not None:
        lines.append(f"hookuser {wire.encoded(hook.user)}")
    return lines

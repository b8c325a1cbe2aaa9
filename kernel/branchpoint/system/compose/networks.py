"""The top-level ``networks``, and the addresses of containers in their networks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from branchpoint.system.compose import fields
from branchpoint.system.compose.keys import NETWORK
from branchpoint.system.compose.yamltree import Mapping, Value
from branchpoint.system.model import Endpoint, Network, Note, Service

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_DEFAULT_SUBNETS = [f"10.89.{third}.0/24" for third in range(256)]


def read_networks(
    section: Mapping | None, used: list[str], notes: list[Note]
) -> dict[str, Network]:
    """The networks that services use, in the order of the file; ``default`` always exists."""
    found: dict[str, Network] = {}
    written = dict(section.entries) if section else {}
    pending = [name for name in used if name not in written]  # "default", "bridge"
    taken: list[IPv4Network] = []
    for name, value in written.items():
        assert section is not None
        if not _NAME.fullmatch(name):
            raise section.key_error(name, f'"{name}" cannot be the name of a network')
        body = _body(name, value)
        network = _network(name, body, section.key_lines[name], notes)
        if network.subnet:
            subnet = IPv4Network(network.subnet)
            for other in taken:
                if subnet.overlaps(other):
                    raise body.error(f"the subnet {subnet} overlaps the subnet {other}")
            taken.append(subnet)
        if name in used:
            found[name] = network
        else:
            text = f'the network "{name}" has no effect: no service uses it'
            notes.append(Note(section.key_lines[name], text))
    if section is not None:
        fields.check_names(section, found, "network")
    for name in pending:
        found[name] = Network(name, 1, "", "", "")
    free = iter(s for s in _DEFAULT_SUBNETS if not any(IPv4Network(s).overlaps(t) for t in taken))
    return {
        name: _complete(network, number, found, free)
        for number, (name, network) in enumerate(found.items())
    }


def _body(name: str, value: Value) -> Mapping:
    if fields.is_null(value):
        return Mapping(value.files, value.line, {}, {})
    return fields.mapping(value, f'the network "{name}"')


def _network(name: str, body: Mapping, line: int, notes: list[Note]) -> Network:
    where = f'the network "{name}"'
    entries = body.entries
    notes += fields.check(body, NETWORK, where)
    if "external" in entries and fields.external(entries["external"]):
        text = f"{where} is external: the machine has one of this name, without others' containers"
        notes.append(Note(body.key_lines["external"], text))
    if "enable_ipv6" in entries and fields.boolean(entries["enable_ipv6"], '"enable_ipv6"'):
        raise body.key_error("enable_ipv6", "IPv6 networks are not supported", "remove it")
    if "driver" in entries:
        driver = fields.text(entries["driver"], '"driver"')
        if driver == "overlay":
            text = f"the driver of {where} has no effect: there is one machine, and it is a bridge"
            notes.append(Note(entries["driver"].line, text))
        elif driver not in ("bridge", "default", ""):
            raise entries["driver"].error(
                f'the driver "{driver}" of {where} is not supported', "every network is a bridge"
            )
    for key, _, option in (
        fields.pairs(entries["driver_opts"], '"driver_opts"') if "driver_opts" in entries else []
    ):
        if not key.startswith("com.docker.network."):
            raise option.error(f'"{key}" of {where} is not supported', "remove it")
        notes.append(Note(option.line, f'"{key}" of {where} has no effect: it concerns the host'))
    internal = "internal" in entries and fields.boolean(entries["internal"], '"internal"')
    subnet, gateway, pool = _ipam(entries["ipam"], where) if "ipam" in entries else ("", "", "")
    return Network(name, line, "", subnet, gateway, internal, pool)


def _ipam(value: Value, where: str) -> tuple[str, str, str]:
    """(subnet, gateway, pool), each "" where not given."""
    body = fields.mapping(value, f'"ipam" of {where}')
    fields.check_keys(body, ["driver", "config"], f'"ipam" of {where}')
    if "driver" in body.entries:
        fields.choice(body.entries["driver"], '"driver" of "ipam"', ["default"])
    if "config" not in body.entries:
        return "", "", ""
    blocks = fields.sequence(body.entries["config"], f'"config" of {where}').items
    if len(blocks) > 1:
        raise blocks[1].error(f"{where} can have only one subnet", "remove the others")
    if not blocks:
        return "", "", ""
    block = fields.mapping(blocks[0], f'"config" of {where}')
    if "aux_addresses" in block.entries:
        raise block.key_error("aux_addresses", '"aux_addresses" is not supported', "remove it")
    fields.check_keys(block, ["subnet", "gateway", "ip_range"], f'"config" of {where}')
    if "subnet" not in block.entries:
        raise block.error(f'"config" of {where} lacks "subnet"')
    subnet = _subnet(block.entries["subnet"], '"subnet"')
    if subnet.prefixlen > 30 or subnet.prefixlen < 8:
        raise block.entries["subnet"].error("the prefix of a subnet must be between /8 and /30")
    if subnet.is_loopback or subnet.is_multicast:
        raise block.entries["subnet"].error(f"{subnet} cannot be used by a network")
    gateway = ""
    if "gateway" in block.entries:
        gateway = fields.text(block.entries["gateway"], '"gateway"')
        if not _inside(gateway, subnet):
            raise block.entries["gateway"].error(f'the gateway "{gateway}" is not in {subnet}')
    pool = ""
    if "ip_range" in block.entries:
        part = _subnet(block.entries["ip_range"], '"ip_range"')
        if not part.subnet_of(subnet):
            raise block.entries["ip_range"].error(f"{part} is not a part of {subnet}")
        pool = str(part)
    return str(subnet), gateway, pool


def _subnet(value: Value, what: str) -> IPv4Network:
    written = fields.text(value, what)
    try:
        network = ipaddress.ip_network(written, strict=False)
    except ValueError:
        raise value.error(
            f'{what} must be an IPv4 network, not "{written}"', 'for example "10.89.5.0/24"'
        ) from None
    if not isinstance(network, IPv4Network):
        raise value.error("IPv6 networks are not supported", "remove it")
    return network


def _inside(address: str, subnet: IPv4Network) -> bool:
    """Whether a host of ``subnet`` can have that address."""
    try:
        parsed = IPv4Address(address)
    except ValueError:
        return False
    ends = (subnet.network_address, subnet.broadcast_address)
    return parsed in subnet and parsed not in ends


def _complete(
    network: Network, number: int, found: dict[str, Network], free: Iterator[str]
) -> Network:
    subnet = network.subnet or next(free, "")
    if not subnet:
        raise AssertionError("more networks than default subnets")
    gateway = network.gateway or str(IPv4Network(subnet).network_address + 1)
    bridge = f"br-{network.name}"
    if len(bridge) > 15:  # what Linux allows
        bridge = f"br-{network.name[:9]}{number:03}"
    return Network(
        network.name, network.line, bridge, subnet, gateway, network.internal, network.pool
    )


class Addresses:
    """Gives every container its endpoints: fixed addresses first, others in order."""

    def __init__(
        self, networks: dict[str, Network], services: list[Service], source: Value
    ) -> None:
        self.networks = networks
        self.source = source
        self.taken = {name: {IPv4Address(n.gateway)} for name, n in networks.items()}
        owners: dict[tuple[str, str], Service] = {}
        for service in services:
            for attachment in service.networks:
                if not attachment.address:
                    continue
                network = networks[attachment.network]
                where = Value(source.files, attachment.line)
                if not _inside(attachment.address, IPv4Network(network.subnet)):
                    raise where.error(
                        f"{attachment.address} is not an address of the network "
                        f'"{network.name}" ({network.subnet})'
                    )
                if attachment.address == network.gateway:
                    raise where.error(
                        f'{attachment.address} is the gateway of the network "{network.name}"'
                    )
                other = owners.setdefault((network.name, attachment.address), service)
                if other is not service:
                    raise where.error(
                        f'{attachment.address} is already the address of service "{other.name}"'
                    )
                self.taken[network.name].add(IPv4Address(attachment.address))

    def endpoints(
        self, service: Service, container: str, hostname: str, number: int
    ) -> tuple[Endpoint, ...]:
        """The interfaces of one container; its ``number`` in the system makes their names unique.

        :raises ComposeError: when a network has no address left.
        """
        found = []
        for position, attachment in enumerate(service.networks):
            network = self.networks[attachment.network]
            address = attachment.address or self._next(network, attachment.line)
            names = dict.fromkeys([service.name, container, *attachment.aliases, hostname])
            own = service.mac_address if position == 0 else None
            found.append(
                Endpoint(
                    network.name,
                    f"eth{position}",
                    f"veth{number}.{position}",
                    address,
                    attachment.mac or own or mac(address),
                    tuple(names),
                )
            )
        return tuple(found)

    def _next(self, network: Network, line: int) -> str:
        taken = self.taken[network.name]
        subnet = IPv4Network(network.subnet)
        for address in IPv4Network(network.pool or network.subnet):
            if address not in taken and _inside(str(address), subnet):
                taken.add(address)
                return str(address)
        raise self.source.files.error(
            line,
            f'the network "{network.name}" ({network.subnet}) has no address left',
            "choose a larger subnet",
        )


def mac(address: str) -> str:
    """The fixed MAC address of an interface, made from its IPv4 address as docker does."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in IPv4Address(address).packed)

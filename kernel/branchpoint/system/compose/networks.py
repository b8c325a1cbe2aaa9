"""The top-level ``networks``, and the addresses of containers in their networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

from branchpoint.system.compose.ipam import (
    IPAddress,
    IPNetwork,
    Subnet,
    around,
    is_inside,
    read_ipam,
    subnets,
    with_gateway,
)
from branchpoint.system.compose.keys import NETWORK
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Value
from branchpoint.system.model import Endpoint, Network, Note, Service

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_DEFAULT_SUBNETS = {
    4: [f"10.89.{number}.0/24" for number in range(256)],
    6: [str(ip_network(f"fd00:10:89:{number:x}::/64")) for number in range(256)],
}
"""Those of networks that name none, by the version of IP."""


def read_networks(
    section: Mapping | None, services: list[Service], notes: list[Note]
) -> dict[str, Network]:
    """The networks that services use, in the order of the file; ``default`` always exists."""
    used = list(dict.fromkeys(a.network for service in services for a in service.networks))
    found: dict[str, tuple[Network, dict[int, Subnet]]] = {}
    written = dict(section.entries) if section else {}
    pending = [name for name in used if name not in written]  # "default", "bridge"
    taken: list[IPNetwork] = []
    external: list[str] = []
    for name, value in written.items():
        assert section is not None
        if not _NAME.fullmatch(name):
            raise section.key_error(name, f'"{name}" cannot be the name of a network')
        body = _body(name, value)
        network, said = _network(name, body, section.key_lines[name], notes)
        if "external" in body.entries and fields.external(body.entries["external"]):
            external.append(name)
        for subnet in [block.parsed for block in said.values() if block.subnet]:
            for other in taken:
                if subnet.overlaps(other):
                    raise body.error(f"the subnet {subnet} overlaps the subnet {other}")
            taken.append(subnet)
        if name in used:
            found[name] = network, said
        else:
            text = f'the network "{name}" has no effect: no service uses it'
            notes.append(Note(section.key_lines[name], text))
    for name in [
        each for each in external if each in found
    ]:  # once all subnets are known that somebody wrote
        _, said = found[name]
        guessed = _of_others(said, _fixed_addresses(services, name), taken)
        taken += [block.parsed for block in guessed.values()]
        said |= guessed
    if section is not None:
        fields.check_names(section, found, "network")
    for name in pending:
        found[name] = Network(name, 1, "", "", ""), {4: Subnet()}
    free = {
        version: iter([s for s in defaults if not any(ip_network(s).overlaps(t) for t in taken)])
        for version, defaults in _DEFAULT_SUBNETS.items()
    }
    return {
        name: _complete(network, number, said, free)
        for number, (name, (network, said)) in enumerate(found.items())
    }


def _of_others(
    said: dict[int, Subnet], fixed: list[IPAddress], taken: list[IPNetwork]
) -> dict[int, Subnet]:
    """The subnets of a network that is made elsewhere: those that fixed addresses are in."""
    found: dict[int, Subnet] = {}
    for version in sorted({address.version for address in fixed}):
        block = around([address for address in fixed if address.version == version])
        free = block.subnet and not any(block.parsed.overlaps(other) for other in taken)
        if free and not said.get(version, Subnet()).subnet:
            found[version] = block
    return found


def _fixed_addresses(services: list[Service], network: str) -> list[IPAddress]:
    """The addresses that services want to have in a network."""
    wanted = [a for service in services for a in service.networks if a.network == network]
    written = [text for a in wanted for text in (a.address, a.address6) if text]
    return [ip_address(text) for text in written]


def _body(name: str, value: Value) -> Mapping:
    if fields.is_null(value):
        return Mapping(value.files, value.line, {}, {})
    return fields.mapping(value, f'the network "{name}"')


def _network(
    name: str, body: Mapping, line: int, notes: list[Note]
) -> tuple[Network, dict[int, Subnet]]:
    """Without its subnets; what is said of these, by the versions of IP that it has."""
    where = f'the network "{name}"'
    entries = body.entries
    notes += fields.check(body, NETWORK, where)
    if "external" in entries and fields.external(entries["external"]):
        text = f"{where} is external: the machine has one of this name, without others' containers"
        notes.append(Note(body.key_lines["external"], text))
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
    said = {4: Subnet()}
    if "enable_ipv6" in entries and fields.boolean(entries["enable_ipv6"], '"enable_ipv6"'):
        said[6] = Subnet()
    if "ipam" in entries:
        said |= read_ipam(entries["ipam"], where, 6 in said, notes)
    return Network(name, line, "", "", "", internal), said


def _complete(
    network: Network, number: int, said: dict[int, Subnet], free: dict[int, Iterator[str]]
) -> Network:
    blocks = {}
    for version, block in said.items():
        subnet = block.subnet or next(free[version], "")
        if not subnet:
            raise AssertionError("more networks than default subnets")
        blocks[version] = with_gateway(replace(block, subnet=subnet))
    bridge = f"br-{network.name}"
    if len(bridge) > 15:  # what Linux allows
        bridge = f"br-{network.name[:9]}{number:03}"
    four, six = blocks[4], blocks.get(6, Subnet())
    return replace(
        network, bridge=bridge, subnet=four.subnet, gateway=four.gateway, pool=four.pool,
        subnet6=six.subnet, gateway6=six.gateway, pool6=six.pool,
    )  # fmt: skip


class Addresses:
    """Gives every container its endpoints: fixed addresses first, others in order."""

    def __init__(
        self, networks: dict[str, Network], services: list[Service], source: Value
    ) -> None:
        self.networks = networks
        self.source = source
        self.taken = {
            (name, version): {ip_address(block.gateway)}
            for name, network in networks.items()
            for version, block in subnets(network).items()
        }
        self._owners: dict[tuple[str, str], Service] = {}
        for service in services:
            for attachment in service.networks:
                network = networks[attachment.network]
                if attachment.address:
                    self._fix(service, network, 4, attachment.address, attachment.line)
                if attachment.address6:
                    self._fix(service, network, 6, attachment.address6, attachment.line6)

    def _fix(
        self, service: Service, network: Network, version: int, address: str, line: int
    ) -> None:
        where = Value(self.source.files, line)
        block = subnets(network).get(version)
        if block is None:
            raise where.error(
                f'{address} is not an address of the network "{network.name}", which has no IPv6',
                'write "enable_ipv6: true" there, and the subnet into its "ipam"',
            )
        if not is_inside(address, block.parsed):
            raise where.error(
                f'{address} is not an address of the network "{network.name}" ({block.subnet})',
                'choose one of these, or write its subnet into the "ipam" of the network',
            )
        if address == block.gateway:
            raise where.error(
                f'{address} is the gateway of the network "{network.name}"',
                'choose another one, or write the "gateway" into the "ipam" of the network',
            )
        other = self._owners.setdefault((network.name, address), service)
        if other is not service:
            raise where.error(
                f'{address} is already the address of service "{other.name}"', "choose another one"
            )
        self.taken[network.name, version].add(ip_address(address))

    def endpoints(
        self, service: Service, container: str, hostname: str, number: int
    ) -> tuple[Endpoint, ...]:
        """The interfaces of one container; its ``number`` in the system makes their names unique.

        :raises ComposeError: when a network has no address left.
        """
        found = []
        for position, attachment in enumerate(service.networks):
            network, line = self.networks[attachment.network], attachment.line
            address = attachment.address or self._next(network, 4, line)
            address6 = attachment.address6 or ""
            if network.subnet6 and not address6:
                address6 = self._next(network, 6, line)
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
                    address6,
                )
            )
        return tuple(found)

    def _next(self, network: Network, version: int, line: int) -> str:
        taken = self.taken[network.name, version]
        block = subnets(network)[version]
        for address in block.addresses:
            if address not in taken:
                taken.add(address)
                return str(address)
        raise self.source.files.error(
            line,
            f'the network "{network.name}" ({block.subnet}) has no address left',
            "choose a larger subnet",
        )


def mac(address: str) -> str:
    """The fixed MAC address of an interface, made from its IPv4 address as docker does."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in IPv4Address(address).packed)

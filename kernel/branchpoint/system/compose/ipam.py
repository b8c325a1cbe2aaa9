"""The subnets of networks: what ``ipam`` says, and addresses in them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Value
from branchpoint.system.model import Network, Note

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_PREFIXES = {4: (8, 30), 6: (8, 126)}  # which are allowed
_USUAL_PREFIXES = {4: 24, 6: 64}
_LINK_LOCAL = IPv6Network("fe80::/10")
_MAPPED = IPv6Network("::ffff:0:0/96")  # IPv4 addresses, as IPv6 writes them


@dataclass(frozen=True)
class Subnet:
    """One of a network's two: for IPv4 or for IPv6. Each text is "" where nothing is said."""

    subnet: str = ""
    gateway: str = ""
    pool: str = ""

    @property
    def parsed(self) -> IPNetwork:
        return ipaddress.ip_network(self.subnet)

    @property
    def addresses(self) -> Iterator[IPAddress]:
        """Those that may be given out, in order; the gateway is one of them."""
        subnet = self.parsed
        pool: Iterator[IPAddress] = iter(ipaddress.ip_network(self.pool or self.subnet))
        return (address for address in pool if _is_host(address, subnet))


def subnets(network: Network) -> dict[int, Subnet]:
    """The subnets that a network has, by the version of IP."""
    four = Subnet(network.subnet, network.gateway, network.pool)
    six = Subnet(network.subnet6, network.gateway6, network.pool6)
    return {4: four, 6: six} if network.subnet6 else {4: four}


def with_gateway(block: Subnet) -> Subnet:
    """With the first address as its gateway, where no other one is said."""
    first = str(block.parsed.network_address + 1)
    return replace(block, gateway=block.gateway or first)


def around(addresses: Sequence[IPAddress]) -> Subnet:
    """The subnet, of a usual size where possible, in which hosts have these addresses.

    Its ``subnet`` is "" where there is none.
    """
    shortest, _ = _PREFIXES[addresses[0].version]
    for prefix in range(_USUAL_PREFIXES[addresses[0].version], shortest - 1, -1):
        subnet = ipaddress.ip_network((addresses[0], prefix), strict=False)
        if all(_is_host(address, subnet) for address in addresses) and not _is_special(subnet):
            free = (host for host in subnet.hosts() if host not in addresses)
            return Subnet(str(subnet), str(next(free)))
    return Subnet()


def read_ipam(value: Value, where: str, ipv6: bool, notes: list[Note]) -> dict[int, Subnet]:
    """The subnets that ``ipam`` says, by the version of IP; an IPv6 one only with ``ipv6``."""
    body = fields.mapping(value, f'"ipam" of {where}')
    fields.check_keys(body, ["driver", "config"], f'"ipam" of {where}')
    if "driver" in body.entries:
        fields.choice(body.entries["driver"], '"driver" of "ipam"', ["default", ""])
    found: dict[int, Subnet] = {}
    if "config" not in body.entries:
        return found
    for item in fields.sequence(body.entries["config"], f'"config" of {where}').items:
        block = fields.mapping(item, f'"config" of {where}')
        if "aux_addresses" in block.entries:
            raise block.key_error("aux_addresses", '"aux_addresses" is not supported', "remove it")
        fields.check_keys(block, ["subnet", "gateway", "ip_range"], f'"config" of {where}')
        if "subnet" not in block.entries:
            raise block.error(f'"config" of {where} lacks "subnet"')
        subnet = _network(block.entries["subnet"], '"subnet"')
        if subnet.version == 6 and not ipv6:  # the engine does not even check it
            text = f'{subnet} of {where} has no effect without "enable_ipv6: true"'
            notes.append(Note(block.entries["subnet"].line, text))
            continue
        if subnet.version in found:
            raise block.error(
                f"{where} can have only one IPv{subnet.version} subnet", "remove the others"
            )
        found[subnet.version] = _block(block, subnet)
    return found


def _block(block: Mapping, subnet: IPNetwork) -> Subnet:
    entries = block.entries
    shortest, longest = _PREFIXES[subnet.version]
    if not shortest <= subnet.prefixlen <= longest:
        raise entries["subnet"].error(
            f"the prefix of such a subnet must be between /{shortest} and /{longest}"
        )
    if _is_special(subnet):
        raise entries["subnet"].error(f"{subnet} cannot be used by a network")
    gateway = pool = ""
    if "gateway" in entries:
        gateway = fields.text(entries["gateway"], '"gateway"')
        if not is_inside(gateway, subnet):
            raise entries["gateway"].error(f'the gateway "{gateway}" is not in {subnet}')
        gateway = str(ipaddress.ip_address(gateway))
    if "ip_range" in entries:
        part = _network(entries["ip_range"], '"ip_range"')
        if part.network_address not in subnet or part.prefixlen < subnet.prefixlen:
            raise entries["ip_range"].error(f"{part} is not a part of {subnet}")
        pool = str(part)
    return Subnet(str(subnet), gateway, pool)


def _is_special(subnet: IPNetwork) -> bool:
    """Whether no network of containers can have it."""
    special = subnet.version == 6 and (subnet.overlaps(_LINK_LOCAL) or subnet.overlaps(_MAPPED))
    return subnet.is_loopback or subnet.is_multicast or special


def _network(value: Value, what: str) -> IPNetwork:
    written = fields.text(value, what)
    try:
        if "%" in written:
            raise ValueError("names an interface")
        return ipaddress.ip_network(written, strict=False)
    except ValueError:
        raise value.error(
            f'{what} must be an IPv4 or IPv6 network, not "{written}"',
            'for example "10.89.5.0/24" or "fd00:5::/64"',
        ) from None


def is_inside(address: str, subnet: IPNetwork) -> bool:
    """Whether a host of ``subnet`` can have that address."""
    try:
        return "%" not in address and _is_host(ipaddress.ip_address(address), subnet)
    except ValueError:
        return False


def _is_host(address: IPAddress, subnet: IPNetwork) -> bool:
    """The first address means the network, the last one of IPv4 all of its hosts."""
    last = subnet.broadcast_address if subnet.version == 4 else None
    return address in subnet and address not in (subnet.network_address, last)

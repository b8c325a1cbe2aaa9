"""How a service finds others: ``networks``, ``links``, ``dns``, ``extra_hosts``."""

from __future__ import annotations

import ipaddress
import re

from branchpoint.system.compose.keys import ATTACHMENT
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value
from branchpoint.system.model import GATEWAY, Attachment, Link, Note

BRIDGE = "bridge"
"""The network of services with ``network_mode: bridge``."""
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HOST = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?")


def host_name(value: Value, what: str) -> str:
    """A name that a container may be found by."""
    name = fields.text(value, what)
    if not _HOST.fullmatch(name):
        raise value.error(f'"{name}" cannot be a host name')
    return name


def read_attachments(value: Value, service: str) -> tuple[Attachment, ...]:
    """The networks of a service, by descending priority, then in the order written."""
    if isinstance(value, Sequence):
        found: dict[str, Attachment] = {}
        for item in value.items:
            name = fields.text(item, 'each of "networks"')
            if name in found:
                raise item.error(f'the network "{name}" is listed twice')
            found[name] = Attachment(name, item.line)
        return tuple(found.values())
    body = fields.mapping(value, '"networks"')
    ordered = []
    for name, entry in body.entries.items():
        if fields.is_null(entry):
            ordered.append((0.0, Attachment(name, body.key_lines[name])))
        else:
            where = f'the network "{name}" of service "{service}"'
            ordered.append(_attachment(name, fields.mapping(entry, where), where))
    ordered.sort(key=lambda pair: -pair[0])
    return tuple(attachment for _, attachment in ordered)


def _attachment(name: str, body: Mapping, where: str) -> tuple[float, Attachment]:
    """(priority, attachment)."""
    fields.check(body, ATTACHMENT, where)
    entries = {key: entry for key, entry in body.entries.items() if not fields.is_empty(entry)}
    line, line6, address, address6 = body.line, body.line, None, None
    if "ipv4_address" in entries:
        line = entries["ipv4_address"].line
        address = _ipv4(entries["ipv4_address"])
    if "ipv6_address" in entries:
        line6 = entries["ipv6_address"].line
        address6 = _ipv6(entries["ipv6_address"])
    own = mac_address(entries["mac_address"]) if "mac_address" in entries else None
    aliases: list[str] = []
    if "aliases" in entries:
        listed = fields.sequence(entries["aliases"], '"aliases"')
        aliases = [host_name(item, 'each of "aliases"') for item in listed.items]
    priority = 0.0
    for key in ("priority", "gw_priority"):
        if key in entries:
            priority = fields.number(entries[key], f'"{key}"', -1e9, 1e9)
    return priority, Attachment(name, line, address, tuple(aliases), own, address6, line6)


def mac_address(value: Value) -> str:
    """``mac_address``, in lower case with colons."""
    written = fields.text(value, '"mac_address"').lower().replace("-", ":")
    if not _MAC.fullmatch(written) or int(written[:2], 16) & 1:
        raise value.error(
            f'"{written}" cannot be the MAC address of an interface',
            "for example 02:42:ac:11:65:43",
        )
    return written


def _ipv4(value: Value) -> str:
    written = fields.text(value, '"ipv4_address"')
    try:
        return str(ipaddress.IPv4Address(written))
    except ValueError:
        raise value.error(f'"ipv4_address" must be an IPv4 address, not "{written}"') from None


def _ipv6(value: Value) -> str:
    written = fields.text(value, '"ipv6_address"')
    try:
        if "%" in written:
            raise ValueError("names an interface")
        return str(ipaddress.IPv6Address(written))
    except ValueError:
        raise value.error(f'"ipv6_address" must be an IPv6 address, not "{written}"') from None


def read_links(value: Value) -> tuple[Link, ...]:
    """``links``: SERVICE, or SERVICE:ALIAS."""
    found = []
    for item in fields.sequence(value, '"links"').items:
        service, _, alias = fields.text(item, 'each of "links"').partition(":")
        host_name(Scalar(item.files, item.line, alias or service, "str"), "a link")
        found.append(Link(service, alias or service, item.line))
    return tuple(found)


def read_name_servers(value: Value, what: str) -> tuple[str, ...]:
    """``dns``: IP addresses of name servers."""
    found = fields.words(value, what)
    for word in found:
        try:
            ipaddress.ip_address(word)
        except ValueError:
            raise value.error(f'{what} must be IP addresses, not "{word}"') from None
    return found


def read_extra_hosts(value: Value, notes: list[Note]) -> tuple[tuple[str, str], ...]:
    """(name, address) of each entry, written as "name=address", "name:address" or a mapping."""
    written: list[tuple[str, str, Value]] = []  # a name may have several addresses
    if isinstance(value, Sequence):
        for item in value.items:
            text = fields.text(item, 'each of "extra_hosts"')
            name, _, address = text.partition("=" if "=" in text else ":")
            written.append((name, address, item))
    else:
        for name, entry in fields.items(value, '"extra_hosts"'):
            for one in entry.items if isinstance(entry, Sequence) else [entry]:
                written.append((name, fields.text(one, f'the address of "{name}"'), one))
    found = []
    for name, address, where in written:
        host_name(Scalar(where.files, where.line, name, "str"), "a name")
        if address == GATEWAY:
            text = f'"{name}" is the machine: no program of this computer can be reached'
            notes.append(Note(where.line, text))
            found.append((name, GATEWAY))
            continue
        try:
            found.append((name, str(ipaddress.ip_address(address.strip("[]")))))
        except ValueError:
            raise where.error(
                f'the address of "{name}" must be an IP address, not "{address}"'
            ) from None
    return tuple(found)

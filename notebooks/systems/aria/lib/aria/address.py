"""host:port, as text and as sockets know it."""

from __future__ import annotations


def parse(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"expected host:port, got {text!r}")
    return host, int(port)


def show(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"

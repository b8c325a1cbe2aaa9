"""The replicator: keeps a copy of the core stream in another region.

The link between regions is paid for by use, so it pulls in batches: every few seconds it asks for
all that is new since the last time. It knows several servers that may have it and no server's
state, so it asks all of them who is there and takes what it needs from whoever answers first; a
server that does not have the bytes says so, and the next one gets the request.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator

from . import address, frames, wire
from .client import Client
from .log import log
from .publisher import draw
from .streamfile import StreamFile

TIMEOUT_SECONDS = 1.0
REQUEST_BYTES = 4096
SPREAD = 0.125  # of the time between batches: replicators of many regions must not pull in step


class NotHere(Exception):
    """The server does not have the bytes asked for."""


class Replicator:
    def __init__(self, servers: list[tuple[str, int]], directory: str) -> None:
        self._servers = servers
        self._replica = StreamFile(f"{directory}/core-stream")

    def pull(self) -> None:
        """Brings the replica up to the end of the core stream, if any server helps."""
        before = self._sequence()
        for client, name in self._answering():
            try:
                self._pull_from(client)
            except NotHere:
                log(f"{name} at {client.remote} has no such part of the core stream")
            except (OSError, wire.ProtocolError) as error:
                log(f"{name} at {client.remote}: {error}")
            else:
                log(f"{self._sequence() - before} messages from {name} at {client.remote}")
                return
        log("no server had the next part of the core stream")

    def _answering(self) -> Iterator[tuple[Client, str]]:
        """Connections to those who answer a hello, with their names, first answer first."""
        poll = select.poll()
        clients: dict[int, Client] = {}
        for server in self._servers:
            try:
                client = Client(server, TIMEOUT_SECONDS)
                client.send(wire.pack(wire.HELLO))
            except OSError as error:
                log(f"{address.show(server)}: {error}")
                continue
            clients[client.socket.fileno()] = client
            poll.register(client.socket, select.POLLIN)
        try:
            while clients and (ready := poll.poll(TIMEOUT_SECONDS * 1000)):
                client = clients.pop(ready[0][0])
                poll.unregister(client.socket)
                try:
                    name = client.receive().body.decode()
                    log(f"connected to {name} at {client.remote}")
                    yield client, name
                except (OSError, wire.ProtocolError) as error:
                    log(f"{client.remote}: {error}")
                finally:
                    client.close()
        finally:
            for client in clients.values():
                client.close()

    def _pull_from(self, client: Client) -> None:
        while True:
            offset = self._replica.length
            client.send(wire.pack_request(offset, REQUEST_BYTES))
            answer = client.receive()
            if answer.op == wire.NOT_HERE:
                raise NotHere
            if answer.op != wire.DATA or answer.offset != offset:
                raise wire.ProtocolError(f"asked for data, got operation {answer.op}")
            found, end = frames.parse(answer.body)
            if found:
                self._replica.append(answer.body[:end], found[-1])
            if len(answer.body) < REQUEST_BYTES:
                return  # that was all there is at present

    def _sequence(self) -> int:
        return self._replica.frame.sequence if self._replica.frame else 0


def run(servers: list[tuple[str, int]], directory: str, batch_seconds: float) -> None:
    replicator = Replicator(servers, directory)
    mean_ms = int(batch_seconds * 1000)
    spread_ms = int(mean_ms * SPREAD)
    while True:
        time.sleep(draw(mean_ms - spread_ms, mean_ms + spread_ms) / 1000)
        replicator.pull()

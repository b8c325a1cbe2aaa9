"""One thread, many connections: an event loop over epoll, with timers."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from . import address, wire
from .log import log


class Loop:
    """Calls handlers when their socket is ready and callbacks when their time has come."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, sock: socket.socket, events: int, handler: Callable[[int], None]) -> None:
        """Calls ``handler(ready events)`` whenever one of ``events`` holds for ``sock``."""
        if sock.fileno() in self._handlers:
            self._epoll.modify(sock, events)
        else:
            self._epoll.register(sock, events)
        self._handlers[sock.fileno()] = handler

    def forget(self, sock: socket.socket) -> None:
        self._epoll.unregister(sock)
        del self._handlers[sock.fileno()]

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once, ``seconds`` from now."""
        self._timers.append((time.monotonic() + seconds, callback))
        self._timers.sort(key=lambda timer: timer[0])

    def listen(self, at: tuple[str, int], accepted: Callable[[Peer], None]) -> None:
        """Accepts connections; each becomes a :class:`Peer`, handed to ``accepted``."""
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(at)
        server.listen()

        def accept(_: int) -> None:
            sock, source = server.accept()
            accepted(Peer(self, sock, source))

        self.watch(server, select.EPOLLIN, accept)
        log(f"listening on {address.show(at)}")

    def run(self) -> None:
        while True:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1
            for number, events in self._epoll.poll(timeout):
                if number in self._handlers:  # an earlier handler may have closed it
                    self._handlers[number](events)
            while self._timers and self._timers[0][0] <= time.monotonic():
                self._timers.pop(0)[1]()


class Peer:
    """One end of a connection that exchanges :mod:`aria.wire` messages without ever blocking."""

    def __init__(self, loop: Loop, sock: socket.socket, remote: tuple[str, int]) -> None:
        self.name = address.show(remote)
        self.on_message: Callable[[wire.Message], None] = lambda message: None
        self.on_close: Callable[[], None] = lambda: None
        self._loop = loop
        self._socket = sock
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._open = True
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.watch(sock, select.EPOLLIN, self._ready)

    def send(self, data: bytes) -> None:
        """Sends, now or as soon as the other side takes it; nothing on a closed connection."""
        if not self._open:
            return
        if not self._outbox:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # the connection broke: epoll reports that next
        if data:
            self._outbox += data
            self._loop.watch(self._socket, select.EPOLLIN | select.EPOLLOUT, self._ready)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._socket)
            self._socket.close()
            self.on_close()

    def _ready(self, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                del self._outbox[: self._socket.send(self._outbox)]
                if not self._outbox:
                    self._loop.watch(self._socket, select.EPOLLIN, self._ready)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                data = self._socket.recv(65536)
                if not data:
                    self.close()
                    return
                self._inbox += data
                while self._open and (message := wire.take(self._inbox)):
                    self.on_message(message)
        except BlockingIOError:
            pass
        except (OSError, wire.ProtocolError) as error:
            log(f"connection with {self.name} lost: {error}")
            self.close()

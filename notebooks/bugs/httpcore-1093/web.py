"""The smallest web server that keeps connections: it works, for longer or shorter, and answers."""

import asyncio
import random
from pathlib import Path

WORK = (0.005, 0.15)  # seconds

chance = random.SystemRandom()


async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(chance.uniform(*WORK))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", 80) as server:
        Path("/run/ready").touch()
        await server.serve_forever()


asyncio.run(main())

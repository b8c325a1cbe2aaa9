"""Makes pages from four answers each, over one pool of two connections.

A page waits TIMEOUT seconds for its answers; then those that are missing are cancelled. When no
connection is free for PATIENCE seconds, that is the end: what the pool looks like, and exit code 1.
"""

import asyncio
import importlib
import os
import random
import sys
from pathlib import Path

sys.path[:0] = map(str, Path("/usr/local/lib/wheels").glob("*.whl"))
library = importlib.import_module(os.environ["LIBRARY"])

PARTS = 4
CONNECTIONS = 2
TIMEOUT = 0.1  # seconds
PATIENCE = 2
PAUSE = (0.1, 0.5)

chance = random.SystemRandom()


async def part(pool, number):
    async with asyncio.timeout(TIMEOUT):
        return await pool.request("GET", f"http://web/{number}")


async def serve(pool):
    while True:
        await asyncio.sleep(chance.uniform(*PAUSE))
        parts = (part(pool, number) for number in range(PARTS))
        found = await asyncio.gather(*parts, return_exceptions=True)
        if late := sum(isinstance(each, TimeoutError) for each in found):
            print(f"{late} of {PARTS} parts of a page were late")
            await probe(pool)


async def probe(pool):
    """One more request, which waits for longer."""
    try:
        await pool.request("GET", "http://web/", extensions={"timeout": {"pool": PATIENCE}})
    except library.PoolTimeout:
        print(f"no connection for {PATIENCE} seconds: {pool!r}")
        for connection in pool.connections:
            print(repr(connection))
        os._exit(1)


async def main():
    print(f"{os.environ['LIBRARY']} {library.__version__}, Python {sys.version.split()[0]}")
    async with library.AsyncConnectionPool(max_connections=CONNECTIONS) as pool:
        await pool.request("GET", "http://web/")
        Path("/run/ready").touch()
        await serve(pool)


asyncio.run(main())

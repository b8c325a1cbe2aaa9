"""Asks the web server, one request in a connection.

A server that is reloaded must answer whoever it has let in. A connection that ends without an
answer is the end: one line, and exit code 1.
"""

import http.client
import random
import time

chance = random.SystemRandom()
asked = 0
while True:
    time.sleep(chance.uniform(0.05, 0.3))
    connection = http.client.HTTPConnection("web", 8000, timeout=30)
    asked += 1
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    except (ConnectionError, http.client.HTTPException) as error:
        print(f"request {asked} was dropped: {type(error).__name__}: {error}")
        raise SystemExit(1) from None
    if status != 200:
        print(f"request {asked}: status {status}")
    connection.close()

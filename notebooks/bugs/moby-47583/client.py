"""Asks the web server, one request in a connection. Anything but an answer is the end: exit 1."""

import http.client
import random
import time

chance = random.SystemRandom()
asked = 0
while True:
    time.sleep(chance.uniform(0.5, 1.5))
    connection = http.client.HTTPConnection("web", timeout=30)
    asked += 1
    connection.request("GET", "/cgi-bin/answer")
    answer = connection.getresponse().read()
    if answer != b"ok\n":
        print(f"request {asked} has no answer")
        raise SystemExit(1)
    connection.close()

"""Sends something every second and a half. Whatever is not taken is the end: exit code 1."""

import http.client
import random
import time

PAUSE = (1.45, 1.55)

chance = random.SystemRandom()
sent = 0
while True:
    time.sleep(chance.uniform(*PAUSE))
    connection = http.client.HTTPConnection("proxy", timeout=30)
    sent += 1
    connection.request("POST", "/", body="something")
    answer = connection.getresponse()
    if answer.status != 200:
        print(f"request {sent}: {answer.status} {answer.reason}")
        raise SystemExit(1)
    connection.close()

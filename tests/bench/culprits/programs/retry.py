"""Payments that are sent again when no answer came; a number protects against paying twice.

After an answer that says "busy" it is sent with a new number, though it may have been paid.
"""

import os
import sys
import time

paid, wanted = {}, 0


def draw(most):
    return os.urandom(1)[0] % most


def server(number, amount):
    """The answer; now and then it is lost, or the server is too busy, before or after it paid."""
    luck = draw(12)
    if luck == 0:
        return "busy"
    if number not in paid:
        paid[number] = amount
    if luck == 1:
        return "busy"
    if luck < 4:
        return None
    return "ok"


def pay(number, amount):
    for attempt in range(5):
        answer = server(number, amount)
        if answer == "ok":
            return
        if answer is None:
            continue
        number = again(number, attempt)


def again(number, attempt):
    if attempt > 1:
        return number
    return number + 1000  # FAULT: it may have been paid under the old number


time.sleep(0.5)
for number in range(6):
    time.sleep(0.3)
    wanted += 10
    pay(number, 10)
time.sleep(1)
sys.exit(sum(paid.values()) > wanted)

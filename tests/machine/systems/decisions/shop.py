"""Sells at the price of a cache, which is read again when it is too old. Prices change rarely."""

import os
import sys
import time

PATIENCE = 1_000_000  # FAULT: readings, not seconds; it is never too old


def is_fresh(age):
    return age < PATIENCE


def draw(chance):
    return os.urandom(1)[0] < 256 * chance


def price_of(cache, price):
    if is_fresh(cache["age"]):  # DECIDES
        cache["age"] += 1
    else:
        cache.update(price=price, age=0)
    return cache["price"]


def sell(cache, price):
    paid = price_of(cache, price)
    if paid != price:  # NOTICES
        print(f"sold for {paid} instead of {price}", flush=True)
        sys.exit(1)


price, cache = 100, {"price": 100, "age": 0}
for number in range(10**6):
    if draw(0.02):
        price += 1
    sell(cache, price)
    if number % 100 == 0:
        print(f"{number} sold", flush=True)
    time.sleep(0.02)

"""A shop: makes its table, then sells in three processes without end.

A sale that fails is the end: one line, and exit code 1.
"""

import multiprocessing
import os
import random
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path

sys.path[:0] = map(str, Path("/usr/local/lib/wheels").glob("*.whl"))

import django  # noqa: E402
from django.conf import settings  # noqa: E402

TILLS = 3
PATIENCE = 20  # seconds for which a sale waits for others
WORK = (0.05, 0.1)  # seconds that a sale takes
PAUSE = (0.5, 3)

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "/var/lib/shop/stock.db",
            "OPTIONS": {"timeout": PATIENCE, "transaction_mode": os.environ["TRANSACTION"]},
        }
    },
    USE_I18N=False,
)
django.setup()

from django.db import OperationalError, connection, models, transaction  # noqa: E402

chance = random.SystemRandom()


class Stock(models.Model):
    left = models.IntegerField()

    class Meta:
        app_label = "shop"


def sell_one():
    with transaction.atomic():
        stock = Stock.objects.get(pk=1)
        time.sleep(chance.uniform(*WORK))
        stock.left -= 1
        stock.save()
    return stock.left


def sell(till):
    while True:
        time.sleep(chance.uniform(*PAUSE))
        began = time.monotonic()
        try:
            left = sell_one()
        except OperationalError as error:
            waited = time.monotonic() - began
            print(f"till {till}: no sale after {waited:.2f} of {PATIENCE} seconds: {error}")
            raise SystemExit(1) from None
        print(f"till {till}: sold, {left} left")


def main():
    with connection.schema_editor() as editor:
        editor.create_model(Stock)
    Stock.objects.create(pk=1, left=10_000)
    connection.close()  # each till opens its own
    fork = multiprocessing.get_context("fork")
    tills = [fork.Process(target=sell, args=(till,), daemon=True) for till in range(TILLS)]
    for till in tills:
        till.start()
    print(f"Django {django.get_version()}, transactions are {os.environ['TRANSACTION']}")
    Path("/run/ready").touch()
    wait([till.sentinel for till in tills])
    raise SystemExit(1)


main()

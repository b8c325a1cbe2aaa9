"""As dials.c, with three dials."""

import os
import time


def lucky():
    return int.from_bytes(os.getrandom(4), "little") % 10 == 0


turned = 0
begin = time.monotonic()
second = 1
while True:
    time.sleep(begin + second - time.monotonic())
    second += 1
    if not lucky():
        break
    if turned == 0:
        turned = 1
    elif turned == 1:
        turned = 2
    else:
        os._exit(1)
while True:
    time.sleep(3600)

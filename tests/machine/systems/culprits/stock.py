"""A shop: four times something is sold in one of five ways, and at the third second it is counted.

One way of selling takes two pieces for one, so that the count is wrong; nothing is said.
"""

import os
import sys
import time

left = 100


def sell_one():
    global left
    left -= 1


def sell_two():
    global left
    left -= 1
    left -= 1


def sell_rest_of_pair():
    global left
    wanted = 1
    left -= wanted * 2  # FAULT
    return wanted


def take_back():
    global left
    left += 1


def look():
    return left


def count():
    return sold


sold = 0
time.sleep(0.5)
for _ in range(4):
    time.sleep(0.5)
    way = os.urandom(1)[0] % 10
    if way == 0:
        sell_rest_of_pair()
        sold += 1
    elif way < 4:
        sell_one()
        sold += 1
    elif way < 6:
        sell_two()
        sold += 2
    elif way < 8:
        take_back()
        sold -= 1
    else:
        look()
time.sleep(1)
sys.exit(left != 100 - count())

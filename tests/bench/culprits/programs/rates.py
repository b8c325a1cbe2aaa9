"""A limit on rates: a bucket of tokens that is filled as time passes. When it was idle for long, it
is filled without a bound. In the end no more may have been let through than the limit allows.
"""

import os
import sys
import time

SIZE = 4


def draw(most):
    return os.urandom(1)[0] % most


class Bucket:
    def __init__(self):
        self.tokens = SIZE
        self.filled = 0

    def fill(self, now):
        gained = now - self.filled
        if gained > 3:
            self.tokens += gained  # FAULT: there is no bound here
        elif gained:
            self.tokens = min(SIZE, self.tokens + gained)
        self.filled = now

    def take(self, count):
        if count > self.tokens:
            return False
        self.tokens -= count
        return True


bucket, most = Bucket(), SIZE
time.sleep(0.5)
for now in range(1, 11):
    time.sleep(0.2)
    way = draw(6)
    if way < 2:
        bucket.fill(now)
        bucket.take(1 + draw(2))
    elif way == 2:
        bucket.take(1)
    most = max(most, bucket.tokens)
time.sleep(1)
sys.exit(most > SIZE)

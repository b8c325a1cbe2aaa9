"""A reader of records that come in pieces of any length; "," ends a record, "\\\\" protects.

When a piece ends just after the sign that protects, the next sign is not protected.
"""

import os
import sys
import time


def draw(most):
    return os.urandom(1)[0] % most


class Reader:
    def __init__(self):
        self.records = [""]
        self.protected = False

    def feed(self, piece):
        for number, sign in enumerate(piece):
            if self.protected:
                self.records[-1] += sign
                self.protected = False
            elif sign == "\\":
                if number + 1 < len(piece):
                    self.protected = True
                else:
                    self.records[-1] += sign  # FAULT: the next piece goes on
            elif sign == ",":
                self.records.append("")
            else:
                self.records[-1] += sign


def whole(text):
    reader = Reader()
    for sign in text.replace("\\,", "\0"):
        reader.feed(sign)
    return [record.replace("\0", ",") for record in reader.records]


text = "a,b\\,c,dd,eee,f,gg,h\\,i,j,kk,l"
time.sleep(0.5)
reader, rest = Reader(), text
while rest:
    time.sleep(0.2)
    length = 3 + draw(5)
    reader.feed(rest[:length])
    rest = rest[length:]
time.sleep(1)
sys.exit(reader.records != whole(text))

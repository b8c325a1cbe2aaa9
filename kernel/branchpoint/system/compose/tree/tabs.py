"""Tabs between the words of a line of YAML, which ruamel.yaml refuses.

YAML forbids them as indentation only. As with other readers (libyaml, Go's), a tab may follow a
value or the colon of a key, and a line of nothing but tabs, spaces and a comment is empty.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.scanner import Scanner

_BLANK = " \t"
_END_OF_LINE = "\0\r\n\x85\u2028\u2029"


class TabScanner(Scanner):
    """A scanner that takes tabs as spaces wherever no block can begin."""

    def scan_to_next_token(self) -> Any:
        while True:
            super().scan_to_next_token()
            blank = self._blank()
            if not blank or not (self._ends(blank) or not self.allow_simple_key):
                return
            self.reader.forward(blank)

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        blank = self._blank()
        if "\t" not in self.reader.prefix(blank):
            return super().scan_plain_spaces(indent, start_mark)
        if self._ends(blank):
            self.reader.forward(blank)
            return super().scan_plain_spaces(indent, start_mark)
        within = self.reader.prefix(blank)
        self.reader.forward(blank)
        return [within]

    def _blank(self) -> int:
        """How many spaces and tabs follow."""
        length = 0
        while self.reader.peek(length) in _BLANK:
            length += 1
        return length

    def _ends(self, length: int) -> bool:
        """Whether so many characters later there is nothing but a comment in this line."""
        return self.reader.peek(length) in _END_OF_LINE + "#"

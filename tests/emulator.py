"""A terminal as far as ``kleio top`` and ``kleio ls --watch`` use one. What it does not know is an error."""

from __future__ import annotations

import codecs
import re

from rich.cells import cell_len

SEQUENCE = re.compile(r"\x1b\[(\?)?([\d;]*)([A-Za-z])")


class Emulator:
    """``lines`` are what it shows; ``modes`` are those that are set, as 1049 for the other screen."""

    def __init__(self, rows=24, columns=80):
        self.size = rows, columns
        self.modes = {"25", "7"}
        self.lines = [""] * rows
        self.before = self.lines
        self.row = 0
        self._line = self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def feed(self, data: bytes):
        text = self._rest + self._decoder.decode(data)
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if found is None:
                    break  # the rest of it is on its way
                self._obey(*found.groups())
                at = found.end()
            else:
                end = text.find("\x1b", at)
                end = len(text) if end < 0 else end
                self._print(text[at:end])
                at = end
        self._rest = text[at:]

    def _print(self, text):
        if "1049" not in self.modes:
            return
        assert text.isprintable(), text
        self._line += text
        assert cell_len(self._line) < self.size[1], self._line

    def _obey(self, private, numbers, letter):
        if private:
            assert letter in "hl"
            if numbers == "1049":
                self.lines, self.before = ([""] * self.size[0], self.lines) if letter == "h" else (self.before, [])
            (self.modes.add if letter == "h" else self.modes.discard)(numbers)
        elif letter == "J":
            assert numbers == "2"
            self.lines = [""] * self.size[0]
        elif letter == "H":
            self.row, self._line = int(numbers) - 1, ""
            assert self.row < self.size[0]
        elif letter == "K":
            self.lines[self.row] = self._line
        else:
            assert letter == "m", letter

    def __str__(self):
        return "\n".join(self.lines).rstrip()

"""What passes on what is typed, where another program of the terminal is quicker, or is gone a moment before."""

from __future__ import annotations

import os
import select
import termios
import threading

import pytest

from kleio.core.keyboard import Keyboard

SECONDS = 600.0


@pytest.fixture
def terminals():
    """The master of the real terminal and itself, the master of the pseudo-terminal and what the program has of that."""
    opened = [*os.openpty(), *os.openpty()]
    yield opened
    for one in opened:
        os.close(one)


def take_keys(program):
    """As a pager does."""
    modes = termios.tcgetattr(program)
    modes[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(program, termios.TCSANOW, modes)


def test_what_another_program_has_read_is_not_waited_for(terminals, monkeypatch):
    real, terminal, master, program = terminals
    stolen = threading.Event()

    def in_front(_):
        if not stolen.is_set() and select.select([terminal], [], [], 0)[0]:
            assert os.read(terminal, 10) == b"x"
            stolen.set()
        return os.getpgrp()

    keyboard = Keyboard(master, terminal)
    take_keys(program)
    monkeypatch.setattr(os, "tcgetpgrp", in_front)
    keyboard.attend()
    os.write(real, b"x")
    assert stolen.wait(SECONDS)
    closing = threading.Thread(target=keyboard.close, daemon=True)
    closing.start()
    closing.join(SECONDS)
    assert not closing.is_alive()


def test_it_ends_by_itself_while_it_is_closed(terminals):
    _, terminal, master, _ = terminals

    passing_on = [threading.Thread()]

    class Late(Keyboard):
        """Held up after it has seen that keys are passed on."""

        @property
        def _relay(self):
            return passing_on.pop() if passing_on else None

        @_relay.setter
        def _relay(self, _):
            pass

    passing_on[0].start()
    Late(master, terminal).close()

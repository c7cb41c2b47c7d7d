"""Messages between a script and the recorder process."""

from __future__ import annotations

import socket

from kleio.core import messages


def test_an_answer_that_comes_before_sending_has_returned_is_read(monkeypatch):
    """A recorder that refuses at once is done, and gone, between two steps of the script's."""
    script, recorder = socket.socketpair()
    sending = socket.send_fds

    def answered_at_once(*arguments):
        sent = sending(*arguments)
        assert messages.receive(recorder)[0] == {"op": "begin"}
        messages.send(recorder, {"refused": "no"})
        recorder.close()
        return sent

    monkeypatch.setattr(socket, "send_fds", answered_at_once)
    with script, open("/dev/null") as nothing:
        messages.send(script, {"op": "begin"}, [nothing.fileno()])
        assert messages.receive(script)[0] == {"refused": "no"}

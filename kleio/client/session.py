"""What an experiment has of the recorder process while it is open: a reservation, a spool, and where its output goes."""

from __future__ import annotations

import errno
import os
import sys
import time

from kleio.client import opened, origin
from kleio.client.connection import begin
from kleio.core import errors
from kleio.core.errors import KleioError, UsageError, in_words
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from kleio.client.connection import Presence
    from kleio.client.experiment import Experiment
    from kleio.client.recorder import Recorder
    from kleio.client.redirection import Redirection

LARGEST_PARAMETERS = 1 << 20
"""Bytes: they are part of the trial, which every list of trials reads."""


class Session:
    """Of one experiment, whose ``logger`` writes to the spool from now on."""

    def __init__(self, logger: Recorder) -> None:
        self.trial: str | None = None
        self.done = False
        self.params: dict[str, Any] = {}
        """As the trial has them."""
        self.variables: dict[str, str] = {}
        self._logger = logger
        self._connection: socket.socket | None = None
        self._descriptors: list[int] = []
        """The first holds the lock of the spool."""
        self._redirection: Redirection | None = None

    def begin(self, experiment: Experiment) -> None:
        """Ask for it. Raises whatever keeps it from being recorded; it is to be let go of then."""
        opened.prepare()
        presence = opened.present()
        request, streams = _request(experiment)
        for left in reversed(range(opened.ATTEMPTS)):
            try:
                self._connection, answer, received = begin(presence.path, request, streams)
                break
            except OSError:  # it has gone since the last experiment
                if not left:
                    raise
                presence = opened.present(anew=True)
        self._descriptors = received
        for message in answer["said"]:
            self._logger.tell(message)
        if "refused" in answer:
            kind: type[KleioError] = getattr(errors, answer["kind"] or "KleioError", KleioError)
            raise kind(answer["refused"], tuple(answer["ways_on"]))
        self.params = dict(answer["params"])
        if answer.get("done"):
            self.done = True
            return
        if len(received) != 1 + 2 * len(answer["channels"]):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # the system leaves out what there is no room for
        self._redirect(presence, answer["channels"])
        self._logger.attach(answer["spool"])
        self.trial, self.variables = answer["trial"], dict(answer["variables"])
        if experiment.hash_code:
            from kleio.client.hashcode import mark

            mark(Spool(answer["spool"]), experiment.hash_code)

    def _redirect(self, presence: Presence, channels: list[dict[str, Any]]) -> None:
        if not channels:
            return
        from kleio.client.redirection import Redirection

        try:
            opened.watch(presence)
            self._redirection = Redirection(channels, self._descriptors[1:])
            del self._descriptors[1:]
            if presence.lost:  # while there was nothing to be abandoned yet
                self._redirection.abandon(lost=True)
        except (OSError, RuntimeError) as error:
            self._close_all_but(1)
            self._logger.tell(f"what is printed is not recorded: {in_words(error)}")

    # -- its end, in steps, each of which is done whatever becomes of those before it --------------------------------

    def leave_exception(self, error: BaseException | None) -> None:
        """Put it into the spool."""
        if self.trial is None or error is None:
            return
        from kleio.client.endings import finding

        left = finding(error)
        if left is not None:
            Spool(self._logger.directory).write("finding-exception", left)

    def give_back(self, _: BaseException | None) -> None:
        """The streams are what they were."""
        if self._redirection is not None:
            self._redirection.undo()

    def tell_end(self, error: BaseException | None) -> None:
        """Say how it ended."""
        if self.trial is None or self._connection is None:
            return
        from kleio.client.endings import ending
        from kleio.core import messages

        ended = ending(error)
        try:
            messages.send(self._connection, {"op": "end", "ending": ended})
            answer = messages.receive(self._connection)
        except OSError:
            answer = None
        if answer is None:
            self._keep_end(ended)
            return
        for message in answer[0]["said"]:
            self._logger.tell(message)

    def _keep_end(self, ending: dict[str, Any]) -> None:
        """The recorder has gone: whoever ships what is in the spool finds there how it ended."""
        try:
            Spool(self._logger.directory).write("ending", {"time": time.time(), "data": ending})
        except OSError:
            pass
        self._logger.tell("the recorder process was killed; what was logged waits in the spool, ship it with: kleio sync")

    def let_go(self, _: BaseException | None = None) -> None:
        """Give back the streams, and close what it came with; the recorder takes that for its end, if it was told of none."""
        self.give_back(None)
        self.forget()

    def forget(self) -> None:
        """In a child after a fork: the streams are the parent's to give back.

        The lock first: when the connection is closed, the recorder looks whether anybody holds it.
        """
        self._close_all_but(0)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _close_all_but(self, kept: int) -> None:
        while len(self._descriptors) > kept:
            os.close(self._descriptors.pop())


def _request(experiment: Experiment) -> tuple[dict[str, Any], list[int]]:
    """What the recorder is asked, and the descriptors of the streams that go with it."""
    from kleio.client.redirection import wanted
    from kleio.core.repository import here

    _check(experiment.params)
    experiment.outer = opened.current()
    around = experiment.outer.variables if experiment.outer is not None else opened.variables_outside()
    environment = {name: value for name, value in origin.variables().items() if name not in opened.CHILD_VARIABLES} | around
    fds, tees = wanted() if experiment.capture else ([], [])
    names = {1: "stdout", 2: "stderr"}
    passed = [(names[fd], fd) for fd in fds]
    if 2 in fds and "stderr" not in tees:
        passed.append(("messages", 2))
    request = {
        "op": "begin", "pid": os.getpid(), "argv": origin.words(), "program": sys.executable, "cwd": here(),
        "environment": environment, "options": _options(experiment), "params": experiment.params, "sources": experiment.sources,
        "parsed": experiment.parsed, "experiment_id": _text(experiment.experiment_id), "resume": experiment.resume,
        "cells": origin.cells(), "capture": experiment.capture, "tee": tees, "descriptors": [name for name, _ in passed],
    }  # fmt: skip
    return request, [fd for _, fd in passed]


def _options(experiment: Experiment) -> dict[str, Any]:
    """The launcher's, for what the experiment says of itself. Raises UsageError."""
    tags = [experiment.tags] if isinstance(experiment.tags, str) else experiment.tags
    try:
        tags = [str(tag) for tag in tags]
    except TypeError:
        raise UsageError(f"its tags are to be a list of texts, and not of type {type(tags).__name__}") from None
    name = _text(experiment.name) or (None if experiment.resume else _text(experiment.experiment_id))
    return {"name": name, "note": _text(experiment.description), "tag": tuple(tags), "journal": _text(experiment.journal)}


def _text(value: object) -> str | None:
    """Numbers are names too: ``name=k``."""
    return None if value is None else str(value)


def _check(params: dict[str, Any]) -> None:
    """Raises KleioError for those that cannot be stored."""
    from kleio.core.values import dumps

    size = 0
    for name, value in params.items():
        try:
            size += len(dumps({name: value}))
        except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
            shown = repr(name) if isinstance(name, str) else f"of type {type(name).__name__}"
            raise KleioError(f"its parameter {shown} cannot be: {in_words(error)}") from None
        if size > LARGEST_PARAMETERS:
            raise KleioError(
                f"its parameters take more than {LARGEST_PARAMETERS:,} bytes; what is large is an artifact: log_artifact"
            )

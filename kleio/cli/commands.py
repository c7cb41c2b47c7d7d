"""The words that are kleio's own. Any other is a command to run."""

from __future__ import annotations

COMMANDS = {
    "run": "run a command, or resume a trial by its id",
    "exec": "run the recorded command of a trial again",
    "branch": "continue a trial from any point of it, in a new trial",
    "ls": "list trials",
    "info": "all there is to know about a trial",
    "artifacts": "list the artifacts of a trial",
    "get": "bring artifacts of a trial back as files",
    "plot": "draw statistics of trials, on the terminal or in a file",
    "tree": "draw which trial continues which",
    "compare": "what differs among trials, side by side",
    "diff": "what differs between two trials, or between one and what is here",
    "checkout": "bring the code of a trial back into a new directory",
    "repeat": "run a trial again from its own code, and see whether it comes out the same",
    "script": "print a shell script that runs a trial again by hand",
    "trace": "find the trial behind a file, a name, a commit, a process or a job",
    "cat": "print what a trial printed",
    "stats": "what trials logged, as a table; its keys; as a file",
    "tail": "print the end of what a trial printed, and follow it",
    "top": "watch the trials that run",
    "pdb": "look at a trial from a prompt of Python's debugger",
    "status": "count trials by status and by tag",
    "log": "log a statistic from a shell script inside a trial",
    "sync": "ship what waits in the spool to the journal",
    "import": "make trials of the runs of TensorBoard, MLflow, Sacred and tables",
    "export": "write trials for TensorBoard or MLflow, as tables or as plain files",
    "scrub": "take something out of everything that is stored for a trial",
    "db": "bring the journal up to date",
    "completion": "print what makes a shell complete commands, options, ids, tags and names",
    "config": "show every setting and where it comes from",
}
"""One module of this name in ``kleio.cli`` each, with a click command of this name in it (:func:`place_of`)."""

LAUNCHING = ("run", "exec", "branch", "repeat")


def place_of(command: str) -> tuple[str, str]:
    """The module that a command is in, and its name there. What Python keeps for itself has an underscore behind it."""
    from keyword import iskeyword

    reserved = iskeyword(command)
    return f"kleio.cli.{command}{'_' * reserved}", f"{command}{'_' * (reserved or command == 'exec')}"

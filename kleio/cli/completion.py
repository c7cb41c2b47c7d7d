"""``kleio completion bash|zsh|fish``, and the answer to what the shells then ask at each TAB.

What is known of commands and options is asked of click; the journal, of ids, tags and names (:mod:`kleio.cli.suggesting`).
Words of the command that is run are completed as without ``kleio`` before it: the shell is told where that command begins.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete, split_arg_string

from kleio.cli import render
from kleio.cli.commands import COMMANDS
from kleio.cli.options import Several, own_words, run_options
from kleio.cli.suggesting import programs
from kleio.core.config import patience

if TYPE_CHECKING:
    from collections.abc import Sequence

    Item = CompletionItem[str]

ASKED = "_KLEIO_COMPLETE"
"""The variable in which a shell names itself when it asks."""
PATIENCE = 0.9
"""Seconds after which nothing is answered, for each second of patience: somebody waits at a keyboard."""
BASH = """\
_kleio_completion() {
    local response type value typed
    response=$(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" _KLEIO_COMPLETE=bash "$1" 2>/dev/null)
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            command) _kleio_command "$value" ;;
        esac
    done <<< "$response"
    if [[ $COMP_WORDBREAKS == *:* ]]; then  # then bash replaces only what stands behind the last colon
        typed=${COMP_LINE:0:COMP_POINT}
        typed=${typed##*[[:space:]]}
        COMPREPLY=("${COMPREPLY[@]#"${typed%"${typed##*:}"}"}")
    fi
}

_kleio_command() {
    local at
    for ((at = 1; at < COMP_CWORD; at++)); do
        [[ ${COMP_WORDS[at]} == "$1" ]] && break
    done
    if ((at < COMP_CWORD)) && declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$at"
    elif ((at < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
        _command_offset "$at"
    else
        compopt -o default
    fi
}

complete -o nosort -F _kleio_completion kleio
"""

ZSH = """\
#compdef kleio

_kleio_completion() {
    local -a plain described
    local type key help
    local -x COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1))
    for type key help in "${(@f)$(_KLEIO_COMPLETE=zsh kleio 2>/dev/null)}"; do
        case $type in
            plain) if [[ $help == _ ]]; then plain+=("$key"); else described+=("$key:$help"); fi ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            command) words=("${(@)words[key + 1,-1]}"); ((CURRENT -= key)); _normal; return ;;
        esac
    done
    (($#described)) && _describe -V kleio described -U
    (($#plain)) && compadd -U -V kleio -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _kleio_completion "$@"
else
    compdef _kleio_completion kleio
fi
"""

FISH = """\
function _kleio_completion
    for line in (COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -ct) _KLEIO_COMPLETE=fish kleio 2>/dev/null)
        set -l item (string split -m 1 , -- $line)
        switch $item[1]
            case plain
                echo $item[2]
            case dir
                __fish_complete_directories $item[2]
            case file
                __fish_complete_path $item[2]
            case command
                complete -C "$item[2]"
        end
    end
end

complete --no-files --keep-order --command kleio --arguments "(_kleio_completion)"
"""


class _Bash(BashComplete):
    source_template = BASH
    joined = False
    """Whether ``--option=value`` is one word to the shell."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """From the line itself: bash takes words apart at colons and equals signs."""
        line = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
        words = split_arg_string(line)
        incomplete = "" if line[-1:].isspace() or len(words) < 2 else words.pop()
        return words[1:], incomplete

    def child(self, words: Sequence[str], begins: int, incomplete: str) -> str:  # noqa: ARG002 - as for the others
        return words[begins] if begins < len(words) else ""


class _Zsh(ZshComplete):
    source_template = ZSH
    joined = True

    def child(self, words: Sequence[str], begins: int, incomplete: str) -> str:  # noqa: ARG002 - as for the others
        return str(begins + 1)


class _Fish(FishComplete):
    source_template = FISH
    joined = True

    def child(self, words: Sequence[str], begins: int, incomplete: str) -> str:
        import shlex

        return f"{shlex.join(words[begins:])} {incomplete}"


SHELLS: dict[str, type[_Bash | _Zsh | _Fish]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options, ids, tags and names; evaluated where the shell is set up."""
    source = SHELLS[shell].source_template
    render.raw(source.encode())


def answer() -> int:
    """What a shell in which somebody presses TAB is told, on stdout: no complaints, and nothing at all after a while."""
    late = threading.Timer(PATIENCE * patience(), os._exit, (0,))
    late.daemon = True
    late.start()
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 2)
    with suppress(Exception):
        from kleio.cli.door import group

        shell = SHELLS[os.environ[ASKED]](group, {}, "kleio", ASKED)
        words, incomplete = shell.get_completion_args()
        told = [shell.format_completion(item) for item in items(shell, words, incomplete)]
        render.raw("".join(f"{line}\n" for line in told).encode())
    return 0


def items(shell: _Bash | _Zsh | _Fish, words: list[str], incomplete: str) -> list[Item]:
    """What ``incomplete`` may become, which stands after ``kleio WORDS``."""
    group: Any = shell.cli
    shell.ctx_args = {"obj": words}
    at = own_words(group.params, words)
    name = words[at] if at < len(words) else None
    begins = _child(words, at)
    if begins is not None and begins < len(words):
        return [CompletionItem(shell.child(words, begins, incomplete), type="command")]
    if begins is not None:
        return programs(incomplete)
    if name is None:
        if at > len(words) or incomplete.startswith("-"):
            return _asked_of_click(shell, words, incomplete)
        own = [CompletionItem(one, help=told) for one, told in COMMANDS.items() if one.startswith(incomplete)]
        return own + (programs(incomplete) if incomplete else [])
    if name == "branch" and at + 1 + own_words(_parameters(group, name), words[at + 1 :]) < len(words):
        return [CompletionItem(incomplete, type="file")]  # options of the recorded command
    last = next((word for word in reversed(words[at + 1 :]) if word.startswith("-")), "")
    taking = any(isinstance(one, Several) and last in one.opts for one in _parameters(group, name))
    if taking and not incomplete.startswith("-"):
        return []  # it takes all words up to the next option
    found = _asked_of_click(shell, words, incomplete)
    return found + programs(incomplete) if name == "run" and incomplete and not incomplete.startswith("-") else found


def _asked_of_click(shell: _Bash | _Zsh | _Fish, words: list[str], incomplete: str) -> list[Item]:
    """click leaves an option away that stands before the value, with an equals sign."""
    option, equals, value = incomplete.partition("=") if "=" in incomplete else ("", "", incomplete)
    descending = value.startswith("-") and (option or "".join(words[-1:])) == "--sort"
    found = shell.get_completions(words, f"{option}{equals}{value[1:]}" if descending else incomplete)
    before = (option + equals if option.startswith("-") and shell.joined else "") + ("-" if descending else "")
    if not before:
        return found
    return [CompletionItem(before + one.value, help=one.help) for one in found if one.type == "plain"]


def _child(words: Sequence[str], at: int) -> int | None:
    """Where the command that is run begins, or would begin with the next word; None where none is run, or none is known yet."""
    if at < len(words) and words[at] == "run":
        at += 1
        at += own_words(run_options(), words[at:])
        if at >= len(words):
            return None
    elif at >= len(words) or words[at] in COMMANDS:
        return None
    return at + (words[at] == "--")


def _parameters(group: Any, name: str) -> list[click.Parameter]:
    command: click.Command = group.get_command(None, name)
    return command.params

"""Write docs/cli.md, and the table of settings in README.md, from the commands and the settings themselves.

    python docs/generate_cli.py

tests/test_docs.py fails while either is stale. The pages follow from what the commands declare and not from click's
layout of it, which changes with click's versions and the terminal's width.
"""

import re
from collections.abc import Container
from pathlib import Path

import click

from kleio.cli.commands import COMMANDS, LAUNCHING
from kleio.cli.door import group
from kleio.core.config import SETTINGS

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- settings: docs/generate_cli.py -->\n", "<!-- end of settings -->\n"

HEAD = """\
# The command line

This page is generated from what `kleio --help` shows; `python docs/generate_cli.py` writes it anew.

- [kleio COMMAND ARGS…](#kleio-command-args): run any command, journaled
{contents}
- [Settings](#settings)
- [Exit statuses](#exit-statuses)

## kleio COMMAND ARGS…

```
kleio [RUN OPTIONS] COMMAND ARGS…
```

{purpose}

A program that is named like a command of kleio's is run with `kleio run ls` or `kleio -- ls`.

### Run options

{options}
"""

TAIL = """\
## Settings

For each setting the first that is given counts: the option, the variable, the key in `[tool.kleio]` of the nearest
`pyproject.toml` at or above the working directory that has such a table, the key in the user's `config.toml`, the default.
`kleio config` shows every value and where it comes from. A list is comma-separated in a variable and an array in a file;
a size is a number of bytes, or `10MB`, `2GiB` (powers of 1024 both).

{settings}
`KLEIO_HOME` names one directory for everything of kleio's: journal, artifacts, spool and `config.toml`. Without it they
are in the user's data, state and configuration directories. `KLEIO_STRICT=1` has `kleio_logger` raise what it otherwise
says once on stderr.

## Exit statuses

| status | of a command that kleio runs | of reading commands |
|---|---|---|
| the command's own | it ran; if it died of a signal, kleio dies of the same | |
| 0 | | done |
| 1 | | it failed |
| 2 | | it was called wrongly |
| 75 | not run: the trial is running elsewhere | |
| 78 | not run: code or environment changed since the trial that would be resumed | |
| 125 | kleio failed, or was called wrongly | |
| 126 | the command cannot be executed | |
| 127 | the command was not found | |
"""


def page() -> str:
    """The text of docs/cli.md."""
    contents = "\n".join(f"- [kleio {name}](#kleio-{name}): {short}" for name, short in COMMANDS.items())
    parts = [HEAD.format(contents=contents, purpose=_purpose(group), options=_options(group))]
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        parts.append(_command(name, command))
    parts.append(TAIL.format(settings=settings()))
    return "\n".join(parts)


def _command(name: str, command: click.Command) -> str:
    words = [(one.metavar or "COMMAND ARGS… | ID") for one in command.params if isinstance(one, click.Argument)]
    if isinstance(command, click.Group):
        inner = [_command(f"{name} {one.name}", one) for one in command.commands.values()]
        return "\n".join([f"## kleio {name}\n\n{_purpose(command)}\n\n{_options(command)}", *inner])
    usage = " ".join(["kleio", name, "[RUN OPTIONS]" if name in LAUNCHING else "[OPTIONS]", *words])
    options = _with_run_options(command) if name in LAUNCHING else _options(command)
    return f"## kleio {name}\n\n```\n{usage}\n```\n\n{_purpose(command)}\n\n{options}"


def _with_run_options(command: click.Command) -> str:
    """Of a command that launches: the run options, but for those that it does not have, and its own."""
    mine, shared = ({option.name for option in one.params if isinstance(option, click.Option)} for one in (command, group))
    missing = [f"`{one.opts[0]}`" for one in group.params if one.name in shared - mine - {"version"}]
    without = f", without {', '.join(missing)}" if missing else ""
    own = _options(command, shared)
    return f"Its options are the [run options](#run-options){without}{', and' if own else '.'}\n{own and chr(10)}{own}"


def _purpose(command: click.Command) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))


def _options(command: click.Command, but: Container[str | None] = ()) -> str:
    rows = [_option(one) for one in command.params if isinstance(one, click.Option) and one.name not in but]
    return "\n".join(["| option | |", "|---|---|", *rows]) + "\n" if rows else ""


def _option(one: click.Option) -> str:
    choices = getattr(one.type, "choices", None)
    value = "" if one.is_flag else f" {one.metavar or '|'.join(choices or ['TEXT'])}"
    value = value.replace("|", "\\|")  # or the table would take it for the next cell
    names = ", ".join(f"`{name}{value if name == one.opts[-1] else ''}`" for name in one.opts)
    default = f" (default: {one.default})" if one.show_default else ""
    said = re.sub(r"  \[(KLEIO_\w+)\]", r" · `\1`", one.help or "")
    return f"| {names} | {said}{default} |"


def settings() -> str:
    """The table of settings."""
    rows = ["| key | option | variable | what it does | default |", "|---|---|---|---|---|"]
    for one in SETTINGS:
        option = f"`--{one.key}`" if one.option else ""
        rows.append(f"| `{one.key}` | {option} | `{one.variable}` | {one.help} | {_default(one.kind, one.default)} |")
    return "\n".join(rows) + "\n"


def _default(kind: str, value: object) -> str:
    if kind == "size":
        assert isinstance(value, int)
        return f"{value >> 30} GiB" if value >= 1 << 30 else f"{value >> 20} MiB"
    if isinstance(value, tuple):
        shown = " ".join(f"`{item}`" for item in value[:5])
        return f"{shown} …" if len(value) > 5 else shown
    return "" if value in (None, False) else f"{value:g}" if isinstance(value, float) else str(value)


def readme(text: str) -> str:
    """``text`` with the table of settings in it renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{settings()}\n{END}{after}"


if __name__ == "__main__":
    (ROOT / "docs" / "cli.md").write_text(page(), encoding="utf-8")
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8")), encoding="utf-8")

"""The pages say what the program does."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kleio.cli.commands import COMMANDS, LAUNCHING
from kleio.core.config import SETTINGS
from kleio.core.trial import Status

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
GENERATE = "is stale; write it anew: python docs/generate_cli.py"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_cli", ROOT / "docs" / "generate_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_command_line_is_fresh(generator):
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == generator.page(), f"docs/cli.md {GENERATE}"


def test_the_settings_in_the_readme_are_fresh(generator):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == generator.readme(text), f"README.md {GENERATE}"


def test_every_command_and_setting_is_documented():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"\n## kleio {name}\n" in page
        assert f"`kleio {name}" in readme, name
    for setting in SETTINGS:
        assert setting.variable in page
    for status in Status:
        assert f"`{status.value}`" in readme, status


def test_every_option_of_every_command_is_listed(generator):
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    shared = page.partition("\n### Run options\n")[2].partition("\n## ")[0]
    for name in COMMANDS:
        section = page.partition(f"\n## kleio {name}\n")[2].partition("\n## kleio ")[0]
        section += "".join(re.findall(rf"\n## kleio {name} .*?(?=\n## )", page, re.DOTALL))
        command = generator.group.get_command(None, name)
        for one in [command, *getattr(command, "commands", {}).values()]:
            for option in [option for option in one.params if option.param_type_name == "option"]:
                known = section + (shared if name in LAUNCHING else "")
                assert all(f"`{word}" in known for word in option.opts), (name, option.opts)
    assert "`--timestamp WHERE`" in page
    assert "[run options](#run-options), without `--project`" in page.partition("\n## kleio repeat\n")[2]


def test_the_screens_are_fresh():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate_screens.py", "--check"], capture_output=True, text=True)
    said = f"{done.stdout}{done.stderr}; write them anew: python docs/generate_screens.py"
    assert (done.returncode, done.stdout) == (0, ""), said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_screens_can_be_given(page, generator):
    """That there are the commands and the options which pages show somebody typing."""
    for line in re.findall(r"^\$ kleio (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        try:
            words = shlex.split(line.partition(" | ")[0])
        except ValueError:
            continue  # it goes on in the next line
        if words[0] not in COMMANDS or words[0] in LAUNCHING:
            continue
        command = generator.group.get_command(None, words[0])
        command = getattr(command, "commands", {}).get(words[1] if words[1:] else "", command)
        known = {name for one in command.params for name in one.opts} | {"--help"}
        own = words[: words.index("--")] if "--" in words else words
        assert {word.partition("=")[0] for word in own if word.startswith("--")} <= known, line


def test_every_module_is_in_the_layout():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("kleio/**/*.py") if path.stat().st_size]
    missing = [path for path in modules if f"`{path.removeprefix('kleio/')}`" not in text and path != "kleio/__init__.py"]
    assert not missing, "CONTRIBUTING.md has a line for each module"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target

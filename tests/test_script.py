"""``kleio script``: what it prints is run with sh, and makes the same tree and the same output."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import KLEIO, PYTHON, kleio, trials
from versions import commit, git, repository, tree, write

from kleio.core.errors import KleioError
from kleio.core.script import script
from kleio.core.sourcefiles import Version
from kleio.core.trial import Entry, Trial

SHOWING = "import os, sys; print(sys.argv[1:], sorted(os.listdir('.')), os.environ.get('OMP_NUM_THREADS'))\n"
ODD = os.fsdecode(b"na\xefve.py")


@pytest.fixture
def here(tmp_path, monkeypatch):
    root = tmp_path / "it's a project"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def ran(*words, **how):
    """Run it: the id of its trial, and what it printed."""
    done = kleio("-q", "--", *words, check=0, **how)
    return trials()[0]["id"], done.stdout


def shell(text, place, *words, check=0):
    """Run a script in a directory of its own, without kleio and its variables."""
    place.mkdir(exist_ok=True)
    (place / "run.sh").write_bytes(text)
    done = subprocess.run(
        ["sh", "run.sh", *words], cwd=place, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        env={name: os.environ[name] for name in ("PATH", "HOME")},
    )  # fmt: skip
    assert done.returncode == check, done.stderr
    return done


def scripted(trial, cwd=None):
    done = subprocess.run([*KLEIO, "script", trial], cwd=cwd, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(trial, printed, here, place, *words):
    done = shell(scripted(trial), place, "new tree", *words)
    assert done.stdout == printed
    assert tree(place / "new tree") == tree(here)
    return done


def test_the_tree_and_the_output_are_the_same(here, tmp_path, journal_uri):
    text = "".join(f"line {number}\n" for number in range(50))
    names = ["plain.py", "with space.py", 'quo"te\\$HOME`x`.py', "tab\tnew\nline.py", "-dash", ODD, "deep/er/file.py"]
    repository(here, dict.fromkeys(names, text) | {
        "show.py": SHOWING, "gone.py": "1\n", "only/gone.py": "1\n", "mode.sh": "echo\n", "kind": "text\n",
        "was": Path("show.py"), "place": "a file\n", "crlf": b"a\r\nb\r\n", "data.bin": b"\0\1\2",
        "unchanged.bin": bytes(range(256)), "directory/file": "1\n",
    })  # fmt: skip
    write(here, {name: text.replace("line 7\n", "'seven' $HOME `id` \\\nEND\n") for name in names})
    write(here, {"place": None, "directory/file": None, "only/gone.py": None})
    (here / "directory").rmdir()
    (here / "only").rmdir()
    write(here, {
        "gone.py": None, "mode.sh": (0o755, "echo\n"), "kind": Path("show.py"), "was": "text\n", "new": "END\nEND0\n",
        "place/inside": "1\n", "directory": "a file\n", "crlf": b"a\r\nb2\r\n", "data.bin": bytes(range(256)) * 9,
        "new.sh": (0o755, "#!/bin/sh\n"), "tail": "no newline", "empty": "", "link\nto": Path("no where"),
        "latin": b"caf\xe9\n", "controls": b"\x01\x7f\x1b\n", "umlaut": "ä → ü\n", "sub dir/new": "x\n", "-n": "dash\n",
    })  # fmt: skip
    trial, printed = ran(PYTHON, "show.py", "--name", "it's $HOME", OMP_NUM_THREADS=3)
    same(trial, printed, here, tmp_path / "place")
    assert printed.endswith(" 3\n")


def test_it_refuses_a_directory_that_is_there(here, tmp_path):
    repository(here, {"show.py": SHOWING})
    trial, _ = ran(PYTHON, "show.py")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "there").symlink_to("nowhere")
    done = shell(scripted(trial), tmp_path / "place", "there", check=1)
    assert "there is there already" in done.stderr
    shell(scripted(trial), tmp_path / "place")
    assert (tmp_path / "place" / f"kleio-{trial[:7]}" / "show.py").exists()


def test_a_commit_from_the_remote_when_the_repository_is_gone(here, tmp_path):
    repository(here, {"show.py": SHOWING, "a.py": "1\n"})
    git(tmp_path, "clone", "-q", "--bare", str(here), "remote.git")
    git(here, "remote", "add", "origin", f"file://{tmp_path}/remote.git")
    write(here, {"a.py": "2\n", "b.py": "3\n"})
    trial, printed = ran(PYTHON, "show.py")
    before = tree(here)
    shutil.move(here, tmp_path / "elsewhere")
    done = shell(scripted(trial, cwd=tmp_path), tmp_path / "place", "new")
    assert done.stdout == printed
    assert tree(tmp_path / "place" / "new") == before
    git(tmp_path / "remote.git", "update-ref", "-d", "refs/heads/main")
    shutil.rmtree(tmp_path / "remote.git")
    done = shell(scripted(trial, cwd=tmp_path), tmp_path / "place", "newer", check=1)
    assert "is in none of" in done.stderr
    assert not (tmp_path / "place" / "newer").exists()


def test_outside_git_and_without_a_commit(here, tmp_path):
    write(here, {"show.py": SHOWING})
    trial, printed = ran(PYTHON, "show.py")
    same(trial, printed, here, tmp_path / "one")
    git(here, "init", "-q")
    write(here, {"more.py": "1\n"})
    trial, printed = ran(PYTHON, "show.py")
    done = shell(scripted(trial), tmp_path / "two", "new tree")
    assert done.stdout == printed
    assert tree(tmp_path / "two" / "new tree") == tree(here)


def test_submodules(here, tmp_path):
    library = repository(tmp_path / "library", {"lib.py": "1\n", "gone.py": "1\n"})
    repository(here, {"show.py": SHOWING})
    git(here, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "the sub")
    commit(here)
    write(here, {"the sub/lib.py": "2\n", "the sub/new.bin": b"\0", "the sub/gone.py": None})
    trial, printed = ran(PYTHON, "show.py")
    same(trial, printed, here, tmp_path / "place")


def test_it_runs_where_it_ran_and_leads_into_the_new_directory(here, tmp_path):
    repository(here, {"in side/show.py": SHOWING, "data/x.csv": "1\n"})
    words = [PYTHON, "show.py", f"--data={here}/data", str(here / "data" / "x.csv"), "/tmp", str(here / "not code")]
    trial, _ = ran(*words, cwd=here / "in side")
    done = shell(scripted(trial), tmp_path / "place", "new")
    new = tmp_path / "place" / "new"
    assert done.stdout == f"{[f'--data={new}/data', f'{new}/data/x.csv', '/tmp', str(here / 'not code')]} ['show.py'] None\n"


def test_files_too_large_for_a_script_are_taken_from_the_project(here, tmp_path):
    repository(here, {"show.py": SHOWING})
    write(here, {"big one.bin": random.Random(1).randbytes(2 << 20), "small.bin": b"\0" * 1000})
    trial, printed = ran(PYTHON, "show.py")
    same(trial, printed, here, tmp_path / "place")
    shutil.copytree(here, tmp_path / "moved" / "copy")
    assert shell(scripted(trial), tmp_path / "moved", "new", "copy").stdout == printed
    write(here, {"big one.bin": random.Random(2).randbytes(2 << 20)})
    assert "it has changed since" in shell(scripted(trial), tmp_path / "other", check=1).stderr
    (tmp_path / "empty").mkdir()
    done = shell(scripted(trial), tmp_path / "third", "new", str(tmp_path / "empty"), check=1)
    assert "big one.bin is too large for this script: put it into" in done.stderr


def test_secrets_are_asked_for_and_machines_stay_comments(here, tmp_path):
    repository(here, {"show.py": SHOWING})
    words = [PYTHON, "show.py", "--api-key", "abc", "--token=xyz"]
    trial, _ = ran(*words, SLURM_JOB_ID="7\nrm -rf x", SLURM_ARRAY_TASK_ID=3, OMP_NUM_THREADS=2)
    text = scripted(trial).decode()
    assert "export OMP_NUM_THREADS=2\n" in text
    assert "export SLURM_ARRAY_TASK_ID=3\n" in text
    assert "\n# export SLURM_JOB_ID='7\n# rm -rf x'" in text
    assert not {"abc", "xyz"} & set(text.replace("=", " ").split())
    assert "was not recorded" in shell(text.encode(), tmp_path / "place", check=2).stderr
    text = text.replace("set -eu\n", "set -eu\nKLEIO_SECRET_3='a b' KLEIO_SECRET_4=c\n")
    assert shell(text.encode(), tmp_path / "place", "new").stdout.startswith("['--api-key', 'a b', '--token=c']")


def test_what_git_ignores_is_named_as_links_to_make(here, tmp_path):
    repository(here, {"show.py": SHOWING, ".gitignore": "data\nfile*\n__pycache__\n"})
    write(here, {"data/x.csv": "1\n", "file\nrm -rf x": "1\n", "__pycache__/x.pyc": "1\n"})
    trial, _ = ran(PYTHON, "show.py")
    text = scripted(trial).decode()
    assert '# ln -s -- "$files"/data data  # not part of the code\n' in text
    assert "\nrm -rf x" not in text
    assert "__pycache__" not in text
    shell(text.encode(), tmp_path / "place")
    linked = text.replace('# ln -s -- "$files"/data data', 'ln -s -- "$files"/data data')
    shell(linked.encode(), tmp_path / "place", "linked")
    assert (tmp_path / "place" / "linked" / "data" / "x.csv").read_text() == "1\n"


def entry(**more):
    about = {"id": "a" * 32, "work_key": "", "project": "p", "command": ("true",), "cwd": ".", "created": 0.0}
    return Entry(Trial(**about | more))


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".git/hooks/pre-commit", "sub/.GIT/config", ""])
def test_no_path_leads_out_of_the_directory(path):
    for document in ({"changes": {path: ["120000", "target", 6, None]}}, {"submodules": {path: {"kind": "files"}}}):
        with pytest.raises(KleioError):
            script(entry(), Version(None, {"kind": "files"} | document), None, None)


def test_no_path_leads_through_a_link_of_the_commit(here):
    repository(here, {"out": Path("/tmp")})
    head = git(here, "rev-parse", "HEAD").decode().strip()
    document = {"kind": "git", "commit": head, "changes": {"out/x": ["120000", "target", 6, None]}}
    with pytest.raises(KleioError, match="through the link out"):
        script(entry(), Version(None, document, str(here)), None, None)


def test_nothing_in_a_record_is_a_command(tmp_path):
    bad = "x'; touch pwned; echo '\ntouch pwned #"
    trial = entry(command=("true", bad, f"$(touch pwned){bad}"), cwd=f"a/{bad}")
    document = {
        "kind": "files", "changes": {f"{bad}2": ["120000", bad, len(bad), None]},
        "left_out": [{"path": bad, "size": 1, "time": 0.0, "why": bad}],
    }  # fmt: skip
    environment = {"python": {"version": bad}, "packages": {bad: bad}, "variables": {"OMP_X": bad, bad: bad}}
    shell(script(trial, Version(None, document), environment, bad).encode(), tmp_path / "place", "new")
    assert list(tmp_path.rglob("pwned")) == []

"""Trees of recorded code to run in: the code as it was, the data of the original, made once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from commands import PYTHON, kleio
from repositories import captured, commands, gits, kept, repository

from kleio.core import recorded
from kleio.core.errors import KleioError
from kleio.core.journal import open_journal
from kleio.core.lookup import resolve

FILES = {"train.py": "print(open('data/x.csv').read())\n", ".gitignore": "data/\n*.cache\n/weird*\n__pycache__/\n.venv/\n",
         "sub/inner.py": "x\n"}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """A repository with ignored data, an environment, and caches."""
    root = repository(tmp_path / "project", FILES)
    for name in ("data/x.csv", ".venv/bin/python", "sub/y.cache", "sub/__pycache__/z.pyc", "weird [x]*?!#", "weird\nline"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1,2\n")
    return root


@pytest.fixture
def journal(home):
    opened = open_journal(f"sqlite:///{home}/journal.db")
    yield opened
    opened.close()


@pytest.fixture
def run(root, journal):
    """Runs ``train.py`` and gives its entry."""

    def run(cwd=root, *words):
        kleio(PYTHON, *(words or ["train.py"]), cwd=cwd, check=0)
        return resolve(journal, "last")

    return run


def test_the_code_is_as_it_was_and_the_data_is_the_originals(root, run, journal, tmp_path):
    (root / "new.py").write_text("n = 1\n")
    wanted, before = kept(root), captured(root, tmp_path / "s" / "x").fingerprint
    entry = run()
    (root / "train.py").write_text("print('edited since')\n")
    (root / "new.py").unlink()
    untouched = gits(root)
    said = []
    tree = recorded.prepare(journal, entry, str(tmp_path / "trees" / "t"), said.append)
    assert gits(root) == untouched
    assert (tree.inexact, said, tree.original_root, tree.cwd) == ((), [], str(root), tree.root)
    assert set(tree.linked) == {"data", ".venv", "sub/y.cache", "weird [x]*?!#", "weird\nline"}
    assert {name: one for name, one in kept(tree.root).items() if os.fsdecode(name) not in tree.linked} == wanted
    assert os.readlink(os.path.join(tree.root, "data")) == str(root / "data")
    assert not os.path.lexists(os.path.join(tree.root, "sub", "__pycache__"))
    again = captured(tree.root, tmp_path / "s2" / "x")
    assert again.fingerprint == before
    assert again.document["untracked"] == ["new.py"], "links do not make the tree look changed"
    done = subprocess.run([sys.executable, "train.py"], cwd=tree.cwd, capture_output=True, text=True)
    assert done.stdout == "1,2\n\n"


def test_a_tree_is_made_once_and_keeps_what_was_written(run, journal, tmp_path, monkeypatch):
    entry = run()
    place = str(tmp_path / "trees" / "t")
    first = recorded.prepare(journal, entry, place, print)
    with open(os.path.join(first.root, "checkpoint.pt"), "w") as file:
        file.write("epoch 3")
    monkeypatch.setattr(recorded, "restore", lambda *_: pytest.fail("it was made again"))
    assert recorded.prepare(journal, entry, place, print) == first
    assert os.path.exists(os.path.join(first.root, "checkpoint.pt"))
    assert os.listdir(tmp_path / "trees") == ["t"]


def test_several_at_once_find_one_tree(run, journal, tmp_path):
    entry = run()
    place, found = str(tmp_path / "trees" / "t"), []
    together = threading.Barrier(4)

    def prepare():
        together.wait()
        found.append(recorded.prepare(journal, entry, place, print))

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 4
    assert len(set(map(repr, found))) == 1
    assert os.listdir(tmp_path / "trees") == ["t"]


def test_what_was_killed_half_way_is_no_tree_and_goes(run, journal, tmp_path, monkeypatch):
    entry = run()
    half = tmp_path / "trees" / ".t.0123.tmp"
    half.mkdir(parents=True)
    os.utime(half, (0, 0))
    recorded.prepare(journal, entry, str(tmp_path / "trees" / "t"), print)
    assert os.listdir(tmp_path / "trees") == ["t"]
    (tmp_path / "trees" / "mine").mkdir()
    (tmp_path / "trees" / "mine" / "file").write_text("mine")
    with pytest.raises(KleioError, match=r"no tree of kleio's"):
        recorded.prepare(journal, entry, str(tmp_path / "trees" / "mine"), print)
    assert os.listdir(tmp_path / "trees" / "mine") == ["file"]


def test_the_working_directory_is_the_same_one_in_the_tree(root, run, journal, tmp_path):
    (root / "work").mkdir()
    entry = run(root / "work", "-c", "pass")
    tree = recorded.prepare(journal, entry, str(tmp_path / "t"), print)
    assert (tree.cwd, tree.original_root) == (os.path.join(tree.root, "work"), str(root))
    assert os.path.isdir(tree.cwd)


def test_a_tree_of_what_ran_in_a_tree_leads_to_the_original(root, run, journal, tmp_path):
    tree = recorded.prepare(journal, run(), str(tmp_path / "t"), print)
    second = recorded.prepare(journal, run(tree.cwd), str(tmp_path / "t2"), print)
    assert second.original_root == str(root)


def test_what_was_not_kept_is_linked_and_exact_while_it_is_the_same(root, run, journal, tmp_path):
    (root / "large.npy").write_bytes(bytes(11 << 20))
    (root / ".env").write_text("x")
    entry = run()
    tree = recorded.prepare(journal, entry, str(tmp_path / "t"), print)
    assert {"large.npy", ".env"} <= set(tree.linked)
    assert tree.inexact == ()
    (root / "large.npy").write_bytes(bytes(12 << 20))
    said = []
    other = recorded.prepare(journal, entry, str(tmp_path / "t2"), said.append)
    assert [one["path"] for one in other.inexact] == ["large.npy"]
    assert "large.npy" in said[0]


def test_submodules_have_their_ignored_files_linked(root, run, journal, tmp_path):
    library = repository(root / "lib", {"lib.py": "x\n", ".gitignore": "built/\n"})
    commands(root, "git add lib && git commit -qm lib")
    (library / "built").mkdir()
    (library / "built" / "lib.so").write_text("so")
    entry = run()
    tree = recorded.prepare(journal, entry, str(tmp_path / "t"), print)
    assert "lib/built" in tree.linked
    assert captured(tree.root, tmp_path / "s" / "x").document["dirty"] is False


def test_without_git_everything_else_beside_is_linked(journal, tmp_path):
    place = tmp_path / "p"
    (place / "package" / "__pycache__").mkdir(parents=True)
    (place / "data").mkdir()
    for name, text in {"train.py": "import package\n", "package/__init__.py": "", "package/table.csv": "1"}.items():
        (place / name).write_text(text)
    kleio(PYTHON, "train.py", cwd=place, check=0)
    tree = recorded.prepare(journal, resolve(journal, "last"), str(tmp_path / "t"), print)
    assert set(tree.linked) == {"data", "package/table.csv"}
    assert not os.path.islink(os.path.join(tree.root, "train.py"))


def test_an_original_that_is_gone_is_said(root, run, journal, tmp_path):
    entry = run()
    shutil.copytree(root / ".git", tmp_path / "elsewhere" / ".git")
    shutil.rmtree(root)
    said = []
    without = _Without(journal)
    with pytest.raises(KleioError, match="is in no repository here"):
        recorded.prepare(without, entry, str(tmp_path / "t"), said.append)
    tree = recorded.prepare(journal, entry, str(tmp_path / "t"), said.append)
    assert any("is not here" in one for one in said)
    assert (tree.linked, tree.original_root) == ((), "")


class _Without:
    """A journal that keeps no unpushed commits."""

    def __init__(self, journal):
        self._journal = journal

    def __getattr__(self, name):
        return getattr(self._journal, name)

    def document(self, key):
        found = self._journal.document(key)
        return None if found and "base" in found else found


def test_absolute_paths_lead_into_the_tree(tmp_path):
    os.symlink(tmp_path / "p", tmp_path / "link")
    (tmp_path / "p").mkdir()
    words = [f"{tmp_path}/p/.venv/bin/python", f"{tmp_path}/p", f"--out={tmp_path}/p/x", f"{tmp_path}/project", "p/x", "a=b"]
    assert recorded.translated(words, f"{tmp_path}/p", "/t/p") == [
        "/t/p/.venv/bin/python", "/t/p", "--out=/t/p/x", f"{tmp_path}/project", "p/x", "a=b",
    ]  # fmt: skip
    assert recorded.translated([f"{tmp_path}/p/x"], f"{tmp_path}/link", "/t") == ["/t/x"]
    assert recorded.translated(words, "", "/t") == words


def test_packages_installed_in_place_are_found(tmp_path):
    site, root = tmp_path / "site", tmp_path / "p"
    site.mkdir()
    (root / "src" / "other").mkdir(parents=True)
    (site / "__editable__.my_pkg-1.0.pth").write_text(f"{root}/src\n")
    (site / "elsewhere.pth").write_text("/usr/share\nimport os; os.system('false')\n# comment\n")
    (site / "__editable___finder_pkg_1_0_finder.py").write_text(
        f"from x import y\nMAPPING: dict[str, str] = {json.dumps({'other': f'{root}/src/other', 'far': '/usr/far'})}\n"
    )
    (site / "__editable___broken_finder.py").write_text("MAPPING = (\n")
    (site / "numpy.py").write_text("")
    found = recorded.shadowed(str(root), [str(site), str(tmp_path / "none")])
    assert found == {"my_pkg": f"{root}/src", "other": f"{root}/src"}
    assert recorded.shadowed("", [str(site)]) == {}

"""What differs between two trials, as values: environments of any shape, summaries, and what cannot be compared."""

from __future__ import annotations

import pytest

from kleio.core.differences import SECTIONS, Change, Side, compare
from kleio.core.sourcefiles import Version


def side(environment=None, **more):
    return Side(**{"id": "a" * 32, "command": ("train",), "params": {}, "code": None, "environment": environment} | more)


BEFORE = {
    "python": {"version": "3.10.1", "executable": "/usr/bin/python"}, "packages": {"numpy": "1.0", "torch": "2.0", "same": "1"},
    "host": "a", "variables": {"OMP_NUM_THREADS": "1"}, "gpu": [], "cpu": None,
}  # fmt: skip


def test_packages_and_environment_are_compared_whole():
    after = {
        "python": {"version": "3.11.0", "executable": "/usr/bin/python"}, "packages": {"numpy": "1.1", "same": "1", "new": "3"},
        "host": "a", "variables": {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0"}, "gpu": [{"name": "H100"}],
        "something": {"later": {"deep": 1}},
    }  # fmt: skip
    found = compare(side(BEFORE), side(after))
    assert found.packages == [Change("new", None, "3"), Change("numpy", "1.0", "1.1"), Change("torch", "2.0", None)]
    assert found.environment == [
        Change("gpu", None, [{"name": "H100"}]),
        Change("python.version", "3.10.1", "3.11.0"),
        Change("something.later.deep", None, 1),
        Change("variables.CUDA_VISIBLE_DEVICES", None, "0"),
    ]


def test_what_is_not_known_is_said_and_does_not_differ():
    found = compare(side(BEFORE), side(notes=("nobody knows",)))
    assert (found.packages, found.environment, found.notes) == ([], [], ["nobody knows"])
    assert not any(found.differ(section) for section in SECTIONS)


def test_a_commit_that_nobody_has_is_said():
    codes = [Version(None, {"commit": digit * 40}) for digit in "12"]
    found = compare(side(code=codes[0]), side(code=codes[1]))
    assert found.files == []
    assert [note.split()[1] for note in found.notes] == ["1" * 12, "2" * 12]


@pytest.mark.parametrize(
    ("after", "differs"),
    [
        ({"params": {"lr": 2}}, "params"),
        ({"command": ("train", "2")}, "params"),
        ({"environment": BEFORE | {"host": "b"}}, "env"),
        ({"status": "broken"}, "stats"),
        ({"summary": {"loss": {"last": 2}}}, "stats"),
        ({"duration": 2.0}, None),
    ],
)
def test_which_part_differs(after, differs):
    before = {"params": {"lr": 1}, "environment": BEFORE, "status": "completed", "duration": 1.0}
    before["summary"] = {"loss": {"last": 1}}
    found = compare(side(**before), side(**before | after))
    assert [section for section in SECTIONS if found.differ(section)] == ([differs] if differs else [])


def test_the_document_has_its_keys_whatever_differs():
    keys = {"before", "after", "command", "params", "code", "packages", "environment", "status", "duration", "summary", "notes"}
    found = compare(side(BEFORE), side(BEFORE))
    assert set(found.as_document()) == keys
    assert found.as_document()["command"] is None
    assert set(found.as_document(["code"])) == {"before", "after", "code", "notes"}

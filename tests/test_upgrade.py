"""``kleio db upgrade``: an older journal is refused in one line that says what to do, and afterwards is as it was, and more."""

from __future__ import annotations

import os

import pytest
from commands import PYTHON, info, kleio, printed, read, start, trials
from conftest import patient
from older import make_old
from processes import SECONDS

from kleio.core.errors import JournalError
from kleio.core.journal import open_journal, place
from kleio.core.journal.base import SCHEMA

ASK = f"written by an older kleio (schema {{}}, this one needs {SCHEMA}); bring it up to date, which loses nothing: "
ASK += "kleio db upgrade"


@pytest.fixture(params=range(1, SCHEMA))
def version(request):
    return request.param


@pytest.fixture
def old(journal_uri, tmp_path, monkeypatch, version):
    """A journal of an older schema with one trial; its id."""
    monkeypatch.chdir(tmp_path)
    kleio("--tag", "kept", PYTHON, "-c", "print('printed')", check=0)
    trial = trials()[0]["id"]
    make_old(journal_uri, version)
    return trial


def test_everything_that_meets_an_older_journal_says_what_to_do(old, version):
    for words, status in ((["ls"], 1), ([PYTHON, "-c", "1"], 125)):
        done = kleio(*words, check=status)
        assert ASK.format(version) in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    for words in (["info", old], ["scrub", "-y", old, "x"]):
        with pytest.raises(JournalError) as refused:
            printed(*words)
        assert ASK.format(version) in refused.value.lines[0]
        assert len(refused.value.lines) == 1


def test_afterwards_all_is_there(old, journal_uri, version):
    first = kleio("db", "upgrade", check=0)
    assert first.stderr == f"kleio: {place(journal_uri)} is upgraded from schema {version} to {SCHEMA}\n"
    assert "is up to date" in kleio("db", "upgrade", check=0).stderr
    trial = info(old)
    assert (trial["status"], trial["tags"]) == ("completed", ["kept"])
    assert printed("cat", old) == "printed\n"
    kleio(PYTHON, "-c", "open('made.txt', 'w').write('x')", check=0)
    assert [one["id"] for one in read("trace", "--json", "made.txt")] == [trials()[0]["id"]]
    printed("scrub", "-y", old, "printed")
    assert printed("cat", old) == "*******\n"


def test_a_run_under_way_goes_on(journal_uri, tmp_path, monkeypatch, version):
    """One that was started by an older kleio, which knows nothing of upgrades."""
    monkeypatch.chdir(tmp_path)
    program = "import sys; print('up', flush=True); open('go').read(); print('more')"
    os.mkfifo(tmp_path / "go")
    running = start(PYTHON, "-c", program)
    assert running.stdout.readline() == "up\n"
    make_old(journal_uri, version)
    kleio("db", "upgrade", check=0)
    (tmp_path / "go").write_text("")
    out, err = running.communicate(timeout=SECONDS)
    assert (running.returncode, out) == (0, "more\n"), err
    trial = trials()[0]["id"]
    assert info(trial)["status"] == "completed"
    assert printed("cat", trial) == "up\nmore\n"


def test_a_journal_that_is_not_there_is_made(journal_uri):
    assert "is up to date" in kleio("db", "upgrade", check=0).stderr
    open_journal(journal_uri, writing=False).close()


def test_who_may_only_read_is_told(tmp_path, monkeypatch, mongod_with_users):
    server, client = mongod_with_users
    name = f"upgrade_{os.urandom(4).hex()}"
    for user, role in (("w", "readWrite"), ("r", "read")):
        client[name].command("createUser", user, pwd="p", roles=[role])
    try:
        uris = {user: patient(f"mongodb://{user}:p@{server.address}/{name}") for user in "wr"}
        open_journal(uris["w"]).close()
        client[name].journal.update_one({"_id": "schema"}, {"$set": {"version": 1}})
        assert "does not allow" in kleio("db", "upgrade", "--journal", uris["r"], check=1).stderr
        assert "kleio db upgrade" in kleio("ls", "-a", "--journal", uris["r"], check=1).stderr
        kleio("db", "upgrade", "--journal", uris["w"], check=0)
        kleio("ls", "-a", "--journal", uris["r"], check=0)
    finally:
        client.drop_database(name)

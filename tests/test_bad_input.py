"""Bad input: one clear line that says what to do, the documented exit status, nothing half-written, no traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess

import pytest
from commands import KLEIO, PYTHON, kleio, printed, script, trials
from conftest import patient

from kleio.core.config import Config
from kleio.core.errors import KleioError, UsageError

SECONDS, BYTES = "a number of seconds, 0 or more", "a number of bytes, such as 2000 or 100MB"


def one_line(done, *hints):
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("kleio: ")
    for hint in hints:
        assert hint in lines[0], lines[0]


def refused(words, status, *hints):
    """The same of a command that reads, asked in this process."""
    with pytest.raises(KleioError) as caught:
        printed(*words)
    assert caught.value.reading == status
    (told,) = caught.value.lines
    assert "\n" not in told
    assert all(hint in told for hint in hints), told


@pytest.mark.parametrize(
    ("uri", "hints"),
    [
        ("nonsense", ["sqlite:///PATH"]),
        ("postgres://x", ["mongodb://"]),
        ("sqlite://", ["sqlite:///"]),
        ("sqlite:///x.db?mode=ro", ["mode=ro"]),
        ("mongodb://", []),
        ("mongodb://h/d?tls=maybe", ["tls"]),
        ("mongodb://127.0.0.1/d?retryWrite=true", ["retrywrites"]),
        ("mongodb://u:p@w@127.0.0.1/d", []),
    ],
)
def test_malformed_addresses(workplace, monkeypatch, uri, hints):
    monkeypatch.setenv("KLEIO_JOURNAL", uri)
    one_line(kleio("true", check=125), *hints)
    refused(["ls"], 1, *hints)
    assert list(workplace.iterdir()) == []


def test_nobody_answers(tmp_path):
    away = {"KLEIO_JOURNAL": "mongodb://127.0.0.1:9/d", "KLEIO_TIMEOUT": "0.3"}
    one_line(kleio("ls", cwd=tmp_path, check=1, **away), "127.0.0.1:9")
    one_line(kleio("sync", cwd=tmp_path, check=1, **away), "127.0.0.1:9")


def test_a_wrong_password(tmp_path, mongod_with_users):
    server, _ = mongod_with_users
    uri = patient(f"mongodb://somebody:wrongpw@{server.address}/d")
    for words, status in ((["true"], 125), (["ls"], 1)):
        done = kleio(*words, cwd=tmp_path, check=status, KLEIO_JOURNAL=uri)
        one_line(done, "password")
        assert "wrongpw" not in done.stderr


@pytest.mark.parametrize("content", [b"this is no database, but a text of some length\n" * 50, None])
def test_a_file_that_is_not_a_journal(tmp_path, content):
    path = tmp_path / "file.db"
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
        connection.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for words, status in ((["true"], 125), (["ls"], 1)):
        one_line(kleio(*words, cwd=tmp_path, check=status, KLEIO_JOURNAL=f"sqlite:///{path}"), str(path))
    assert path.read_bytes() == before


def test_a_journal_of_a_newer_kleio(tmp_path, home):
    kleio("true", cwd=tmp_path, check=0)
    connection = sqlite3.connect(home / "journal.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    one_line(kleio("true", cwd=tmp_path, check=125), "upgrade")
    one_line(kleio("ls", cwd=tmp_path, check=1), "upgrade")


AS_ROOT = os.geteuid() == 0


def without_privilege(*words, cwd, **environment):
    """Run kleio bound by permissions: root is, once it has given its capabilities up."""
    dropped = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if AS_ROOT else []
    return subprocess.run(
        [*dropped, *KLEIO, *words], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def closed(tmp_path):
    """A directory in which nothing can be made."""
    directory = tmp_path / "closed"
    directory.mkdir()
    directory.chmod(0o555)
    return directory


def test_a_directory_that_cannot_be_written(closed):
    done = without_privilege("true", cwd="/", KLEIO_HOME=str(closed / "x"))
    assert done.returncode == 125
    one_line(done, "KLEIO_HOME")
    assert list(closed.iterdir()) == []
    done = without_privilege("true", cwd="/", KLEIO_SPOOL_DIR=str(closed / "x"))
    assert done.returncode == 125
    one_line(done, "KLEIO_SPOOL_DIR")


def test_a_working_directory_that_cannot_be_written_is_fine(closed):
    done = without_privilege("sh", "-c", "echo hi", cwd=str(closed))
    assert (done.returncode, done.stdout) == (0, "hi\n")


def test_no_home_directory(tmp_path):
    """Without HOME the system's word for it is taken; a HOME that is no place at all is said."""
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "KLEIO_HOME")}
    nowhere = environment | {"HOME": "not/absolute"}
    for words, status in ((["true"], 125), (["ls"], 2)):
        done = subprocess.run([*KLEIO, *words], cwd=tmp_path, env=nowhere, capture_output=True, text=True, check=False)
        assert done.returncode == status
        one_line(done, "KLEIO_HOME")
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_an_empty_command():
    one_line(kleio("", check=127), "empty")
    one_line(kleio("run", check=125), "no command")
    one_line(kleio("--", check=125), "command")
    assert "Usage" in kleio(check=0).stdout


def test_settings_that_make_no_sense(workplace):
    one_line(kleio("true", check=125, KLEIO_ONCE="maybe"), "KLEIO_ONCE")
    one_line(kleio("true", check=125, KLEIO_IF_RUNNING="never"), "refuse, wait, skip")
    one_line(kleio("true", check=125, KLEIO_LEASE="long"), "lease")
    one_line(kleio("--if-running=never", "true", check=125), "never")
    one_line(kleio("ls", "--status", "odd", check=2), "odd")
    refused(["ls", "-n", "-1"], 2)
    refused(["ls", "--nonsense"], 2, "--nonsense")
    refused(["info"], 2, "ID")
    (workplace / "pyproject.toml").write_text("[tool.kleio]\nexlude = []\n")
    one_line(kleio("true", check=125), "exclude")
    (workplace / "pyproject.toml").write_text("[tool.kleio\n")
    refused(["ls"], 2, "TOML")
    (workplace / "pyproject.toml").unlink()
    assert trials() == []


def test_a_value_too_large_for_the_store_says_what_to_do(tmp_path, journal_uri):
    text = "from kleio.client.logger import kleio_logger as k\nk.log_statistic(x='y' * 20_000_000)\nk.log_statistic(ok=1)\n"
    done = kleio(PYTHON, script(tmp_path, text), cwd=tmp_path, check=0)
    assert "log_artifact" in done.stderr
    assert list(trials()[0]["summary"]) == ["ok"]


def test_a_working_directory_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    text = f"cd {gone} && rmdir {gone} && {PYTHON} -m kleio true"
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "Traceback" not in done.stderr


def test_a_repository_that_git_cannot_read_is_no_obstacle(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("garbage")
    assert kleio("echo", "hi", cwd=tmp_path, check=0).stdout == "hi\n"


def test_no_git_on_the_path(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "bin").mkdir()
    os.symlink("/bin/true", tmp_path / "bin" / "true")
    kleio("true", cwd=tmp_path, check=0, PATH=str(tmp_path / "bin"))
    assert trials()[0]["status"] == "completed"


@pytest.mark.parametrize(
    ("setting", "value", "meant"),
    [
        ("lease", "'abc'", SECONDS), ("timeout", "-1", SECONDS),
        ("drain", "nan", SECONDS), ("timeout", "inf", SECONDS),
        ("drain", "true", SECONDS), ("output-limit", "'-1'", BYTES),
        ("output-limit", "inf", BYTES), ("once", "1", "true or false"),
        ("name", "1", "a text"), ("tag", "1", "a list of texts"),
    ],
)  # fmt: skip
def test_a_setting_of_the_wrong_kind_is_said_in_words(tmp_path, setting, value, meant):
    (tmp_path / "pyproject.toml").write_text(f"[tool.kleio]\n{setting} = {value}\n")
    with pytest.raises(UsageError, match=f"{setting} = .* is not {meant}$"):
        Config(environment={"HOME": str(tmp_path)}, cwd=str(tmp_path)).check()


def test_negative_times_in_variables_are_refused():
    with pytest.raises(UsageError, match="KLEIO_TIMEOUT: timeout = '-1' is not a number of seconds, 0 or more"):
        Config(environment={"HOME": "/", "KLEIO_TIMEOUT": "-1"}).check()


@pytest.mark.parametrize("words", [["ls"], ["status", "--json"], ["cat", "last"]])
def test_no_standard_output(tmp_path, words):
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *KLEIO, *words], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 1
    one_line(done, "there is no standard output to write to")


@pytest.mark.parametrize(("words", "hint"), [(["-n", "9" * 20], "range"), (["--export", ""], "no format")])
def test_what_ls_cannot_mean(workplace, words, hint):
    refused(["ls", *words], 2, hint)

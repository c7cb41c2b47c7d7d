"""Reading commands, as a person and as a program meet them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest
from commands import KLEIO, PYTHON, info, kleio, on_a_terminal, printed, read, script, start, trials, until

KEYS = [
    "id", "short_id", "work_key", "project", "command", "cwd", "params", "param_sources", "param_defaults", "status", "tags",
    "name", "note", "parent", "cut", "previous", "within", "code", "environment", "executions", "created", "summary",
]  # fmt: skip
BEYOND = ["artifacts", "resources", "branches", "imported", "inner", "followers"]
WAITS = "open('go').read()"
EXECUTION_KEYS = ["id", "number", "host", "user", "pid", "started", "ended", "exit_code", "signal", "reason"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_the_stable_keys(project, journal_uri):
    kleio("--tag", "t", PYTHON, script(project, "print(1)"), "--lr", "0.1", check=0)
    for found, more in ((trials()[0], []), (info(trials()[0]["id"]), BEYOND)):
        assert list(found) == KEYS + more
        assert set(EXECUTION_KEYS) <= set(found["executions"][0])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found["created"])
        assert re.fullmatch("[0-9a-f]{32}", found["id"])
        assert isinstance(found["command"], list)
        assert found["params"] == {"lr": 0.1}
        assert found["param_sources"] == {"lr": "command line"}


def test_ls_is_newest_first_and_of_this_project(records, tmp_path):
    for n in range(5):
        tag = ("annotated", {"tags": ["even" if n % 2 == 0 else "odd"]})
        records.trial(command=("sh", str(n)), status="broken" if n % 2 else "completed", reports=[tag])
    records.trial(command=("true",), project=str(tmp_path / "other"))

    def ls(*words):
        return [one["command"][-1] for one in read("ls", "--json", *words)]

    assert ls() == ["4", "3", "2", "1", "0"]
    assert ls("-n", "2") == ["4", "3"]
    assert ls("--all-projects") == ["true", "4", "3", "2", "1", "0"]
    assert ls("--status", "broken") == ["3", "1"]
    assert ls("--status", "broken", "--status", "completed") == ["4", "3", "2", "1", "0"]
    assert ls("--tag", "even") == ["4", "2", "0"]
    assert ls("--tag", "even", "--tag", "odd") == []
    assert ls("--status", "running") == []
    assert ls("--project", str(tmp_path / "other")) == ["true"]


def test_status_counts(project, journal_uri):
    kleio("--tag", "a", "true", check=0)
    kleio("--tag", "a", "--tag", "b", "false", check=1)
    counted = read("status", "--json")
    assert counted["statuses"] == {"completed": 1, "broken": 1}
    assert counted["tags"] == {"a": 2, "b": 1}
    assert printed("status").splitlines()[0] == "STATUS\tTRIALS"


def test_a_journal_that_nobody_wrote_is_empty_and_stays_absent(home):
    assert kleio("ls", "--json", check=0).stdout == "[]\n"
    assert kleio("status", "--json", check=0).stdout.startswith("{")
    assert not home.exists()


def test_plain_in_a_pipe_and_coloured_on_a_terminal(project):
    kleio("true", check=0)
    assert "\x1b" not in kleio("ls", check=0).stdout
    assert kleio("ls", check=0).stdout.splitlines()[0].split("\t")[0] == "ID"
    assert "\x1b[" in on_a_terminal("ls")
    assert "\x1b[3" not in on_a_terminal("ls", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal("info", trials()[0]["id"], NO_COLOR="1")


def test_nothing_recorded_repaints_the_readers_terminal(project):
    evil = "\x1b[2J\x1b]0;title\x07"
    kleio("--name", evil, "--tag", evil, "true", evil, check=0)
    shown = on_a_terminal("ls") + on_a_terminal("info", trials()[0]["id"])
    assert "\x1b[2J" not in shown
    assert "\x1b]0" not in shown


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits_the_terminal(project, columns):
    kleio("--tag", "a-rather-long-tag", "echo", "x" * 300, "日本語" * 20, check=0)
    for line in on_a_terminal("ls", columns=columns, NO_COLOR="1").splitlines():
        assert len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= columns


def test_cat_collapses_progress_bars_unless_raw(project):
    text = r"printf '0%%\r50%%\r100%%\nnext\r\nend'; printf 'a\rb\n' >&2"
    done = subprocess.run([*KLEIO, "sh", "-c", text], capture_output=True, check=True)
    assert done.stdout == b"0%\r50%\r100%\nnext\r\nend"
    trial = trials()[0]["id"]

    def cat(*words):
        return subprocess.run([*KLEIO, "cat", *words, trial], capture_output=True, check=True).stdout

    assert cat("--raw") == done.stdout
    assert cat() == b"100%\nnext\r\nend"
    assert cat("--stderr") == b"b\n"
    assert json.loads(cat("--json"))["text"] == "0%\r50%\r100%\nnext\r\nend"


def test_cat_of_one_stream_for_both_says_so_when_asked_for_stderr(project):
    with open("log", "wb") as log:
        subprocess.run([*KLEIO, "sh", "-c", "echo out; echo err >&2"], stdout=log, stderr=subprocess.STDOUT, check=True)
    trial = trials()[0]["id"]
    assert kleio("cat", trial, check=0).stdout == "out\nerr\n"
    assert "recorded together" in kleio("cat", "--stderr", trial, check=0).stderr


def test_tail_shows_the_last_lines(project):
    kleio("sh", "-c", "seq 100000; echo partial | tr -d '\\n'", check=0)
    trial = trials()[0]["id"]
    assert kleio("tail", "-n", "3", trial, check=0).stdout == "99999\n100000\npartial"
    assert len(kleio("tail", trial, check=0).stdout.splitlines()) == 10
    assert kleio("tail", "-n", "0", trial, check=0).stdout == ""
    assert kleio("tail", "-n", "100001", trial, check=0).stdout.startswith("1\n2\n")
    assert kleio("tail", "-f", "-n", "1", trial, check=0).stdout == "partial"


def test_tail_follows_until_the_trial_ends(project, journal_uri):
    os.mkfifo("go")
    process = start(
        "sh", "-c", "echo one; read x < go; seq 2 50000; read x < go; echo err >&2; exit 4", stdout=subprocess.DEVNULL
    )
    trial = until(lambda: [one for one in trials() if one["status"] == "running"])[0]["id"]
    following = start("tail", "-f", trial)
    assert following.stdout.readline() == "one\n"
    with open("go", "w"):
        pass
    assert following.stdout.readline() == "2\n"
    with open("go", "w"):
        pass
    assert following.stdout.read() == "".join(f"{n}\n" for n in range(3, 50001))
    assert following.stderr.read() == "err\n"
    following.communicate()
    assert following.returncode == 0
    process.communicate()
    assert process.returncode == 4


def test_following_shows_new_output_soon(project, journal_uri):
    """Each line is answered through the journal before the next is asked for: the two keep pace."""
    os.mkfifo("go")
    process = start(
        "sh", "-c", "exec 3<> go; n=0; while read x <&3 && [ $x = on ]; do n=$((n+1)); echo $n; done", stdout=subprocess.DEVNULL
    )
    trial = until(lambda: [one for one in trials() if one["status"] == "running"])[0]["id"]
    following = start("tail", "-f", trial)
    for n in range(1, 5):
        with open("go", "w") as go:
            go.write("on\n")
        assert following.stdout.readline() == f"{n}\n"
    with open("go", "w") as go:
        go.write("off\n")
    process.communicate()
    following.communicate()
    assert following.returncode == 0


@pytest.mark.parametrize("journal_uri", ["sqlite"], indirect=True)
def test_who_follows_for_somebody_that_reads_no_more_ends_though_nothing_new_comes(project, journal_uri):
    os.mkfifo("go")
    program = f"from kleio.client.logger import kleio_logger as k; k.log_statistic(loss=1); print('one', flush=True); {WAITS}"
    process = start(PYTHON, "-c", program)
    assert process.stdout.readline() == "one\n"
    trial = until(lambda: [one for one in trials() if one["status"] == "running"])[0]["id"]
    following = [["tail", "-f", trial], ["ls", "--watch", "600"], ["plot", "--follow", trial, "loss"]]
    for words in (*following, ["plot", "--follow", "--json", trial, "loss"]):
        reader = start(*words)
        if words[0] != "plot":
            assert reader.stdout.readline()
        reader.stdout.close()
        assert reader.wait(timeout=600) == -signal.SIGPIPE
        assert reader.stderr.read() == ""
        reader.stderr.close()
    drawing = start("plot", "--follow", "-o", "loss.svg", trial, "loss")  # prints nothing, and is for nobody who reads
    drawing.stdout.close()
    until((project / "loss.svg").exists)
    with open("go", "w"):
        pass
    process.communicate()
    assert drawing.wait(timeout=600) == 0
    drawing.stderr.close()


def test_ctrl_c_ends_tail_without_a_word(project):
    os.mkfifo("go")
    process = start("sh", "-c", "echo one; read x < go")
    assert process.stdout.readline() == "one\n"
    trial = until(lambda: [one for one in trials() if one["status"] == "running"])[0]["id"]
    following = start("tail", "-f", trial)
    assert following.stdout.readline() == "one\n"
    following.send_signal(2)
    _, err = following.communicate()
    assert err == ""
    assert following.returncode in (-2, 130)
    with open("go", "w"):
        pass
    process.communicate()


def test_a_pipe_that_closes_ends_reading_without_a_word(project):
    kleio("seq", "1000000", check=0)
    trial = trials()[0]["id"]
    text = f"{PYTHON} -m kleio cat {trial} | head -1"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_info_shows_what_one_wants_to_know(project):
    text = "from kleio.client.logger import kleio_logger as k\n"
    text += "k.log_statistic(loss=0.5)\nk.log_artifact('w.pt', b'abc', epoch=3)\n"
    kleio("--note", "a remark", PYTHON, script(project, text), "--lr", "0.1", check=0)
    page = printed("info", trials()[0]["id"][:6])
    assert printed("info", "last") == page
    for shown in (
        "completed",
        "a remark",
        "--lr 0.1",
        "command line",
        "loss",
        "0.5",
        "w.pt",
        "3 B",
        "epoch=3",
        "exit status 0",
    ):
        assert shown in page


def test_config_shows_where_every_value_came_from(project, home, monkeypatch):
    (project / "pyproject.toml").write_text('[tool.kleio]\ntag = ["a", "b"]\nonce = true\n')
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text('note = "n"\nonce = false\nlease = 5\n')
    monkeypatch.delenv("KLEIO_LEASE")
    found = json.loads(kleio("--journal", "mongodb://u:secret@h/d", "config", "--json", check=0, KLEIO_NAME="x").stdout)
    assert found["journal"] == {"value": "mongodb://u:<redacted>@h/d", "source": "--journal"}
    assert found["name"] == {"value": "x", "source": "KLEIO_NAME"}
    assert found["tag"] == {"value": ["a", "b"], "source": f"{project}/pyproject.toml:2"}
    assert found["once"] == {"value": True, "source": f"{project}/pyproject.toml:3"}
    assert found["note"]["source"] == f"{home}/config.toml:1"
    assert found["lease"]["value"] == 5.0
    assert found["split"] == {"value": False, "source": "default"}
    plain = kleio("config", check=0, KLEIO_JOURNAL="mongodb://u:secret@h/d").stdout
    assert "secret" not in plain
    assert "KLEIO_JOURNAL" in plain


def test_reading_commands_need_no_more_than_a_role_that_may_read(project, mongod_with_users, monkeypatch):
    server, client = mongod_with_users
    client.drop_database("readable")
    client.readable.command("createUser", "writer", pwd="w", roles=["readWrite"])
    client.readable.command("createUser", "reader", pwd="r", roles=["read"])
    writer = f"mongodb://writer:w@{server.address}/readable"
    reader = f"mongodb://reader:r@{server.address}/readable"
    monkeypatch.setenv("KLEIO_TIMEOUT", "60")
    kleio("sh", "-c", "echo hi", check=0, KLEIO_JOURNAL=writer)
    monkeypatch.setenv("KLEIO_JOURNAL", reader)
    trial = trials()[0]["id"]
    for words in (["ls"], ["info", trial], ["status"]):
        assert printed(*words)
    for words in (["cat", trial], ["tail", "-f", trial]):
        assert kleio(*words, check=0).stdout
    refused = kleio("true", check=125)
    assert len(refused.stderr.splitlines()) == 1


def test_a_password_reaches_neither_the_child_nor_the_journal(project, mongod_with_users, monkeypatch):
    server, client = mongod_with_users
    client.drop_database("secrets")
    client.secrets.command("createUser", "writer", pwd="hunter2hunter2", roles=["readWrite"])
    uri = f"mongodb://writer:hunter2hunter2@{server.address}/secrets"
    monkeypatch.setenv("KLEIO_TIMEOUT", "60")
    monkeypatch.setenv("KLEIO_JOURNAL", uri)
    done = kleio("sh", "-c", f"env; {PYTHON} -m kleio true; ls -la $KLEIO_SPOOL", check=0)
    assert "hunter2" not in done.stdout + done.stderr
    found = trials()
    assert len(found) == 2  # the inner kleio found the journal all the same
    assert "hunter2" not in json.dumps([info(one["id"]) for one in found])


def test_a_journal_that_is_not_there_yet_is_no_empty_one(tmp_path):
    done = kleio("ls", "--journal", "sqlite:///typo.db", cwd=tmp_path, check=0)
    assert done.stderr.startswith(f"kleio: there is no journal sqlite:///{tmp_path}/typo.db yet; ")
    assert not (tmp_path / "typo.db").exists()
    kleio("--journal", "sqlite:///typo.db", "true", cwd=tmp_path, check=0)
    assert "does not match --tag;" in kleio("ls", "--journal", "sqlite:///typo.db", "--tag", "x", cwd=tmp_path, check=0).stderr


def test_a_trial_that_is_called_what_was_given_as_an_id_is_named(project):
    kleio("--name", "n1", "true", check=0)
    kleio("--name", "feed", "true", "2", check=0)
    second, first = (one["short_id"] for one in trials())
    assert f"; a trial is called n1: {first}\n" in kleio("info", "n1", check=1).stderr
    assert f"; a trial is called feed: {second}\n" in kleio("info", "feed", check=1).stderr
    kleio("--name", "n1", "true", "3", check=0)
    assert f"; 2 trials are called n1: {trials()[0]['short_id']}, {first}" in kleio("info", "n1", check=1).stderr
    assert "called" not in kleio("info", "n2", check=1).stderr


def test_info_shows_values_and_ids_as_people_read_them(project):
    log = "import datetime; from kleio.client.logger import kleio_logger as k; k.log_statistic(day=datetime.date(2024, 5, 1))"
    kleio(PYTHON, "-c", log, check=0)
    first = trials()[0]
    kleio(PYTHON, "-c", log, check=0)
    shown = printed("info", "last")
    assert "2024-05-01" in shown
    assert "$kleio" not in shown + printed("ls")
    assert re.search(rf"previous +{first['short_id']}\n", shown)

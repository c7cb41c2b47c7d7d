"""Every row of the launching table and every option, as a user meets them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess

import git
import pytest
from commands import KLEIO, PYTHON, info, kleio, printed, script, start, trials, until

from kleio.core.config import HOOK

CHECKPOINTED = """
import sys
from kleio.client.logger import kleio_logger
done = kleio_logger.load_artifacts("state")
first = done[-1].meta["epoch"] + 1 if done else 0
print("first epoch", first)
for epoch in range(first, 4):
    kleio_logger.log_statistic(epoch=epoch)
    kleio_logger.log_artifact("state", b"x" * epoch, epoch=epoch)
    if epoch == 1 and first == 0:
        sys.exit(3)
"""
WAITING = "import sys; print('ready', flush=True); sys.stdin.read(); input()"


@pytest.fixture
def project(tmp_path):
    """A repository with one commit."""
    directory = tmp_path / "project"
    directory.mkdir()
    repository = git.Repo.init(directory)
    with repository.config_writer() as settings:
        settings.set_value("user", "name", "A").set_value("user", "email", "a@b.c")
    script(directory, CHECKPOINTED)
    repository.index.add(["train.py"])
    repository.index.commit("first")
    repository.close()
    return directory


def running(project, *options):
    """A command that runs until its FIFO ``go`` is written to; returned once it has started."""
    fifo = project.parent / "go"
    if not fifo.exists():
        os.mkfifo(fifo)
    process = start(*options, "sh", "-c", "echo ready; read line < ../go; echo done", cwd=project)
    assert process.stdout.readline() == "ready\n"
    return process, fifo


def finish(process, fifo):
    fifo.write_text("go\n")
    process.communicate(timeout=600)
    return process.returncode


def lives(group):
    """Whether a process of the group has not ended yet; what was killed may take a while to."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found.append(path.read_text().rpartition(")")[2].split())
    return any(int(own) == group and state not in "ZX" for state, _, own, *_ in found)


# -- the table -------------------------------------------------------------------------------------------------------


def test_nothing_found_is_a_new_trial_and_says_so(project):
    done = kleio("sh", "-c", "echo hi", cwd=project, check=0)
    (trial,) = trials()
    assert done.stdout == "hi\n"
    assert f"kleio: trial reserved with id: {trial['short_id']}\n" in done.stderr
    assert trial["status"] == "completed"
    assert trial["command"] == ["sh", "-c", "echo hi"]


def test_broken_with_artifacts_is_resumed_when_nothing_changed(project):
    first = kleio(PYTHON, "train.py", cwd=project, check=3)
    second = kleio(PYTHON, "train.py", cwd=project, check=0)
    assert "first epoch 0" in first.stdout
    assert "first epoch 2" in second.stdout
    (trial,) = trials()
    assert [one["status"] for one in trial["executions"]] == ["broken", "completed"]
    assert trial["summary"]["epoch"] == {"last": 3, "min": 0, "max": 3, "mean": 1.5, "count": 4}


def test_broken_with_artifacts_and_changed_code_is_refused_and_nothing_is_lost(project):
    kleio(PYTHON, "train.py", cwd=project, check=3)
    script(project, CHECKPOINTED + "\nprint('changed')\n")
    script(project, "", "untracked.py")
    refused = kleio(PYTHON, "train.py", cwd=project, check=78)
    (trial,) = trials()
    assert trial["short_id"] in refused.stderr
    assert "changed: train.py (+2), untracked.py (new)" in refused.stderr
    repository = git.Repo(project)
    repository.index.add(["train.py", "untracked.py"])
    repository.index.commit("second")
    repository.close()
    assert "changed: train.py (+2), untracked.py (new)" in kleio(PYTHON, "train.py", cwd=project, check=78).stderr
    assert "--fresh" in refused.stderr
    assert len(trial["executions"]) == 1
    kleio("--fresh", PYTHON, "train.py", cwd=project, check=3)
    newest, oldest = trials()
    assert newest["previous"] == oldest["id"]


def test_broken_without_artifacts_and_changed_code_starts_anew_naming_the_previous(project):
    script(project, "raise SystemExit(1)\n", "crash.py")
    kleio(PYTHON, "crash.py", cwd=project, check=1)
    script(project, "print('fixed')\n", "crash.py")
    said = kleio(PYTHON, "crash.py", cwd=project, check=0).stderr
    newest, oldest = trials()
    assert newest["previous"] == oldest["id"]
    assert f"changed since trial {oldest['short_id']}, which left nothing to resume from: crash.py (" in said


def test_committing_what_was_run_changes_nothing(project):
    script(project, "raise SystemExit(1)\n", "crash.py")
    kleio(PYTHON, "crash.py", cwd=project, check=1)
    repository = git.Repo(project)
    repository.index.add(["crash.py"])
    repository.index.commit("second")
    repository.close()
    kleio(PYTHON, "crash.py", cwd=project, check=1)
    (trial,) = trials()
    assert len(trial["executions"]) == 2


def test_what_does_not_count_as_code_changes_nothing(project):
    kleio(PYTHON, "train.py", cwd=project, check=3)
    (project / "README.md").write_text("words")
    (project / "results").mkdir()
    (project / "results" / "a.py").write_text("1")
    (project / "data.csv").write_text("1,2")
    kleio(PYTHON, "train.py", cwd=project, check=0)
    assert len(trials()) == 1


def test_completed_runs_again_as_a_new_trial(project):
    kleio("true", cwd=project, check=0)
    kleio("true", cwd=project, check=0)
    newest, oldest = trials()
    assert newest["previous"] == oldest["id"]


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_once_does_completed_work_once(project, how):
    words, variables = [], {}
    if how == "option":
        words = ["--once"]
    elif how == "variable":
        variables = {"KLEIO_ONCE": "1"}
    else:
        (project / "pyproject.toml").write_text("[tool.kleio]\nonce = true\n")
    kleio(*words, "sh", "-c", "echo ran", cwd=project, check=0, **variables)
    again = kleio(*words, "sh", "-c", "echo ran", cwd=project, check=0, **variables)
    assert again.stdout == ""
    (trial,) = trials()
    assert trial["short_id"] in again.stderr


def test_a_live_trial_is_refused_with_who_and_since_when(project):
    process, fifo = running(project)
    refused = kleio("sh", "-c", "echo ready; read line < ../go; echo done", cwd=project, check=75)
    assert str(process.pid) in refused.stderr
    assert os.uname().nodename in refused.stderr
    skipped = kleio("--if-running=skip", "sh", "-c", "echo ready; read line < ../go; echo done", cwd=project, check=0)
    assert skipped.stdout == ""
    assert finish(process, fifo) == 0
    assert len(trials()) == 1


def test_waiting_for_a_live_trial_runs_after_it(project):
    process, fifo = running(project)
    waiting = start("--if-running=wait", "--once", "sh", "-c", "echo ready; read line < ../go; echo done", cwd=project)
    assert "waiting" in waiting.stderr.readline()
    assert finish(process, fifo) == 0
    out, _ = waiting.communicate(timeout=600)
    assert (waiting.returncode, out) == (0, "")  # --once: it was completed while we waited
    assert len(trials()) == 1


def test_waiting_can_be_interrupted(project):
    process, fifo = running(project)
    waiting = start("--if-running=wait", "sh", "-c", "echo ready; read line < ../go; echo done", cwd=project)
    assert "waiting" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=600)
    assert waiting.returncode == -signal.SIGINT
    assert finish(process, fifo) == 0
    assert len(trials()) == 1


def test_a_killed_run_is_resumed_at_once_on_its_own_machine(project):
    process, _ = running(project)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=600)
    until(lambda: not lives(process.pid))
    again, fifo = running(project)
    assert finish(again, fifo) == 0
    (trial,) = trials()
    assert [one["status"] for one in trial["executions"]] == ["failover", "completed"]
    assert printed("cat", trial["id"]) == "ready\nready\ndone\n"


def test_while_the_child_of_a_killed_launcher_lives_the_trial_is_running(project):
    process, fifo = running(project)
    process.kill()
    process.wait()
    refused = kleio("sh", "-c", "echo ready; read line < ../go; echo done", cwd=project, check=75).stderr
    child = refused.rpartition("kill ")[2].strip()
    assert pathlib.Path(f"/proc/{child}/cmdline").read_text().startswith("sh\0-c\0echo ready")
    fifo.write_text("go\n")
    until(lambda: not lives(process.pid))
    process.communicate(timeout=600)


# -- by id -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_trial_is_resumed_by_its_id_from_anywhere(project, tmp_path, verb):
    kleio(PYTHON, "train.py", cwd=project, check=3)
    (trial,) = trials()
    done = kleio(verb, trial["id"][:8], cwd=tmp_path, check=0)
    assert "first epoch 2" in done.stdout
    assert [one["status"] for one in trials()[0]["executions"]] == ["broken", "completed"]
    kleio(verb, trial["id"][:8], cwd=tmp_path, check=3)  # completed: runs anew
    assert trials()[0]["previous"] == trial["id"]


LEAVES_FILES = """
import json, os, sys
from kleio.client.logger import kleio_logger as k
k.log_artifact("state", b"1", n=1)
os.makedirs(f"outputs/{os.getpid()}/.hydra")
open(f"outputs/{os.getpid()}/.hydra/config.yaml", "w").write("n: 1\\n")
json.dump({"lr": sys.argv[1], "execution": k.execution}, open("metrics.json", "w"))
sys.exit(3 if k.execution == 1 else 0)
"""


def test_what_runs_have_left_behind_is_no_change_of_code(project):
    """Of its own and of others of the same script, as in a sweep; what has been edited since is one."""
    (project / "leaves.py").write_text(LEAVES_FILES)
    kleio(PYTHON, "leaves.py", "0.1", cwd=project, check=3)
    kleio(PYTHON, "leaves.py", "0.5", cwd=project, check=3)  # writes the same metrics.json
    again = kleio(PYTHON, "leaves.py", "0.1", cwd=project, check=0)
    assert "its status was broken; this is its execution 2" in again.stderr
    assert "not compared" not in again.stderr
    assert len(trials(project)) == 2
    (project / "metrics.json").write_text("{}")
    refused = kleio(PYTHON, "leaves.py", "0.5", cwd=project, check=78).stderr
    assert "has changed: metrics.json (+1 \N{MINUS SIGN}1)\n" in refused
    kleio(PYTHON, "-c", "open('metrics.json', 'w').write('[]')", cwd=project, check=0)  # by another program
    assert "has changed: metrics.json (+1 \N{MINUS SIGN}1)\n" in kleio(PYTHON, "leaves.py", "0.5", cwd=project, check=78).stderr


def test_what_runs_have_left_behind_outside_of_git(tmp_path):
    (tmp_path / "leaves.py").write_text(LEAVES_FILES)
    kleio(PYTHON, "leaves.py", "0.1", cwd=tmp_path, check=3)
    assert "execution 2" in kleio(PYTHON, "leaves.py", "0.1", cwd=tmp_path, check=0).stderr
    (tmp_path / "leaves.py").write_text(LEAVES_FILES + "# changed")
    kleio("--fresh", PYTHON, "leaves.py", "0.1", cwd=tmp_path, check=3)
    (tmp_path / "leaves.py").write_text(LEAVES_FILES)
    assert "has changed: leaves.py (" in kleio(PYTHON, "leaves.py", "0.1", cwd=tmp_path, check=78).stderr


def test_last_is_the_newest_of_the_project_here(project, tmp_path):
    kleio("echo", "ours", cwd=project, check=0)
    other, empty = tmp_path / "other", tmp_path / "empty"
    other.mkdir()
    empty.mkdir()
    kleio("echo", "theirs", cwd=other, check=0)
    assert kleio("cat", "last", cwd=project, check=0).stdout == "ours\n"
    assert kleio("cat", "last", cwd=other, check=0).stdout == "theirs\n"
    assert kleio("cat", "last", cwd=empty, check=0).stdout == "theirs\n"  # nothing is there: the newest of all
    assert kleio("exec", "last", cwd=project, check=0).stdout == "ours\n"


def test_unknown_and_ambiguous_ids(local):
    for letter in "ab":
        local.trial(id=f"c{letter * 31}")
    assert "kleio ls" in kleio("exec", "f" * 32, check=125).stderr
    assert "kleio ls" in kleio("info", "f" * 32, check=1).stderr
    assert "ambiguous" in kleio("info", "c", check=1).stderr
    assert "hex" in kleio("info", "xyz", check=1).stderr


# -- options ---------------------------------------------------------------------------------------------------------


def test_tags_name_and_note(project):
    kleio("--tag", "a", "--tag", "b", "--name", "n", "--note", "some words", "true", cwd=project, check=0)
    (trial,) = trials()
    assert (trial["tags"], trial["name"], trial["note"]) == (["a", "b"], "n", "some words")
    kleio("run", "--tag=c", "true", "--tag", "x", cwd=project, check=0, KLEIO_NAME="m")
    trial = trials()[0]
    assert (trial["tags"], trial["name"], trial["command"]) == (["c"], "m", ["true", "--tag", "x"])
    assert [one["id"] for one in json.loads(kleio("ls", "--json", "--tag", "c", cwd=project, check=0).stdout)] == [trial["id"]]


def test_no_capture_leaves_the_output_alone(project):
    kleio("--no-capture", "sh", "-c", "echo hi", cwd=project, check=0)
    assert printed("cat", trials()[0]["id"]) == ""


def test_unbuffered_is_asked_for_not_given(project, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    show = (PYTHON, "-c", "import os; print(os.environ.get('PYTHONUNBUFFERED'))")
    assert kleio(*show, cwd=project, check=0).stdout == "None\n"
    assert kleio("--unbuffered", *show, cwd=project, check=0).stdout == "1\n"


def test_quiet_says_nothing(project):
    for words in (["-q"], ["--quiet"], ["run", "-q"]):
        assert kleio(*words, "true", cwd=project, check=0).stderr == ""
    assert kleio("true", cwd=project, check=0, KLEIO_QUIET="1").stderr == ""


def test_words_after_the_command_are_the_commands(project):
    words = ["--help", "--", "--tag", "x", "-q", "--version"]
    assert kleio("echo", *words, cwd=project, check=0).stdout == "--help -- --tag x -q --version\n"
    assert kleio("--", "echo", *words, cwd=project, check=0).stdout == "--help -- --tag x -q --version\n"
    assert kleio("run", "--", "ls", "-d", ".", cwd=project, check=0).stdout == ".\n"
    assert kleio("--", "ls", "-d", ".", cwd=project, check=0).stdout == ".\n"


# -- the journal away ------------------------------------------------------------------------------------------------

NOBODY = "mongodb://127.0.0.1:9/x"


def test_without_a_journal_it_runs_and_sync_ships_it(project):
    done = kleio("--offline", PYTHON, "train.py", cwd=project, check=3)
    assert "first epoch 0" in done.stdout
    assert trials() == []
    kleio("sync", cwd=project, check=0)
    (trial,) = trials()
    assert trial["status"] == "broken"
    assert trial["summary"]["epoch"]["count"] == 2
    assert printed("cat", trial["id"]) == done.stdout
    assert "nothing waits" in kleio("sync", cwd=project, check=0).stderr
    assert "first epoch 2" in kleio(PYTHON, "train.py", cwd=project, check=0).stdout


def test_offline_the_table_holds_for_what_is_on_this_machine(project):
    offline = ("--offline", PYTHON, "train.py")
    assert "first epoch 0" in kleio(*offline, cwd=project, check=3).stdout
    resumed = kleio(*offline, cwd=project, check=0)
    assert "first epoch 2" in resumed.stdout
    assert "execution 2" in resumed.stderr
    assert "skipped" in kleio("--once", *offline, cwd=project, check=0).stderr
    assert "first epoch 0" in kleio(*offline, cwd=project, check=3).stdout  # completed: runs anew
    kleio("sync", cwd=project, check=0)
    newest, oldest = trials()
    assert newest["previous"] == oldest["id"]
    assert [one["status"] for one in oldest["executions"]] == ["broken", "completed"]
    assert (oldest["status"], newest["status"]) == ("completed", "broken")
    assert oldest["summary"]["epoch"]["count"] == 4


def test_offline_with_changed_code_is_refused_where_checkpoints_wait(project):
    kleio("--offline", PYTHON, "train.py", cwd=project, check=3)
    script(project, CHECKPOINTED + "\nprint('changed')\n")
    kleio("--offline", PYTHON, "train.py", cwd=project, check=78)


def test_the_next_launch_ships_what_ran_offline(project):
    """Or one after it: where that has ended before it came to it, nobody waits."""
    kleio("--offline", "sh", "-c", "echo one", cwd=project, check=0)
    until(lambda: kleio("true", cwd=project, check=0) and ["sh", "-c", "echo one"] in [one["command"] for one in trials()])


def test_the_same_work_offline_and_later_online_is_one_trial(project):
    kleio("--offline", "sh", "-c", "exit 1", cwd=project, check=1)
    kleio("sh", "-c", "exit 1", cwd=project, check=1)
    (trial,) = trials()
    assert len(trial["executions"]) == 2


def test_an_unreachable_journal_is_said_once(project):
    done = kleio("echo", "hi", cwd=project, check=0, KLEIO_JOURNAL=NOBODY, KLEIO_TIMEOUT="0.3")
    assert done.stdout == "hi\n"
    assert done.stderr.count("running offline") == 1
    assert "kleio sync" in done.stderr


@pytest.mark.parametrize("words", [["--require-journal", "true"], ["exec", "abcd"]])
def test_some_things_need_the_journal(project, words):
    done = kleio(*words, cwd=project, check=125, KLEIO_JOURNAL=NOBODY, KLEIO_TIMEOUT="0.3")
    assert len(done.stderr.splitlines()) == 1


def test_offline_the_same_work_does_not_run_twice_at_once(project):
    process, fifo = running(project, "--offline")
    for words in (["--offline"], []):
        kleio(*words, "sh", "-c", "echo ready; read line < ../go; echo done", cwd=project, check=75)
    assert finish(process, fifo) == 0


# -- what the child gets ---------------------------------------------------------------------------------------------


def test_the_child_gets_kleios_variables_and_nothing_else(project):
    show = (PYTHON, "-c", "import os, json; print(json.dumps(dict(os.environ)))")
    plain = json.loads(subprocess.run(show, capture_output=True, check=True, cwd=project, env=os.environ).stdout)
    under = json.loads(kleio(*show, cwd=project, check=0).stdout)
    new = {name for name in under if under[name] != plain.get(name)}
    own = {"KLEIO_TRIAL_ID", "KLEIO_EXECUTION", "KLEIO_SPOOL", "KLEIO_STATISTICS", "KLEIO_OUTPUT_DIR"}
    assert new == own | {"PYTHONPATH"}
    assert under["PYTHONPATH"] == os.pathsep.join([HOOK, *filter(None, [plain.get("PYTHONPATH")])])
    assert {name for name in json.loads(kleio("--no-hook", *show, cwd=project, check=0).stdout) if name not in plain} == own
    assert not set(plain) - set(under)
    trial = trials()[-1]
    assert under["KLEIO_TRIAL_ID"] == trial["id"]
    assert under["KLEIO_EXECUTION"] == trial["executions"][0]["id"]


def test_a_kleio_inside_a_trial_makes_its_own(project):
    kleio("sh", "-c", f"{PYTHON} -m kleio sh -c 'echo inner'", cwd=project, check=0)
    inner, outer = sorted(trials(), key=lambda one: one["within"] is None)
    assert inner["within"] == outer["id"]
    assert inner["command"] == ["sh", "-c", "echo inner"]


def test_arguments_of_any_kind_are_recorded_as_they_were(project):
    words = ["a b", "", "new\nline", "quo'te\"", "*", "ü", b"\xff\xfe", "--", "-x"]
    done = subprocess.run([*KLEIO, "printf", "%s|", *words], cwd=project, capture_output=True, check=True)
    assert done.stdout == b"|".join(w if isinstance(w, bytes) else w.encode() for w in words) + b"|"
    (trial,) = trials()
    assert trial["command"] == ["printf", "%s|", *[os.fsdecode(word) for word in words]]


def test_secrets_are_not_recorded_and_asked_for_when_needed(project):
    kleio("sh", "-c", "echo ran", "x", "--api-key", "TOPSECRET", cwd=project, check=0)
    (trial,) = trials()
    assert "TOPSECRET" not in json.dumps(info(trial["id"]))
    assert "secret" in kleio("exec", trial["id"], cwd=project, check=125).stderr
    home = os.environ["KLEIO_HOME"]
    assert subprocess.run(["grep", "-r", "TOPSECRET", home], capture_output=True).returncode == 1


def test_the_code_is_recorded_with_what_lies_on_top(project):
    (project / "new.py").write_text("print(1)\n")
    kleio("true", cwd=project, check=0)
    code = info(trials()[0]["id"])["code"]
    repository = git.Repo(project)
    assert code["commit"] == repository.head.commit.hexsha
    assert code["branch"] == repository.active_branch.name
    assert code["dirty"] is True
    pack = os.path.join(os.environ["KLEIO_HOME"], "blobs", code["pack"][:2], code["pack"])
    assert pathlib.Path(pack).read_text() == "print(1)\n"
    repository.close()
    assert len(code["fingerprint"]) == 32


def test_the_environment_is_recorded(project):
    kleio(PYTHON, "-c", "pass", cwd=project, check=0, OMP_NUM_THREADS="3", CUDA_API_TOKEN="x")
    environment = info(trials()[0]["id"])["environment"]
    assert environment["packages"]["pytest"] == pytest.__version__
    assert environment["variables"]["OMP_NUM_THREADS"] == "3"
    assert environment["variables"]["CUDA_API_TOKEN"] == "<redacted>"


def test_outside_git_the_script_and_the_sources_beside_it_count(tmp_path):
    script(tmp_path, "import helper\nraise SystemExit(1)\n")
    script(tmp_path, "x = 1\n", "helper.py")
    kleio(PYTHON, "train.py", cwd=tmp_path, check=1)
    (tmp_path / "notes.txt").write_text("no source")
    kleio(PYTHON, "train.py", cwd=tmp_path, check=1)
    assert len(trials()) == 1
    script(tmp_path, "x = 2\n", "helper.py")
    kleio(PYTHON, "train.py", cwd=tmp_path, check=1)
    newest, oldest = trials()
    assert newest["previous"] == oldest["id"]
    assert sorted(info(newest["id"])["code"]["changes"]) == ["helper.py", "train.py"]


def test_sweeps_that_race_do_everything_once(project, journal_uri):
    """Three shells work through the same list: who comes second skips, whether the first still runs or is done."""
    text = 'for n in 1 2 3 4; do "$@" sh -c "echo $n >> ../done" || exit 9; done'
    words = ["sh", "-c", text, "sweep", *KLEIO]
    shells = [
        subprocess.Popen(
            words,
            cwd=project,
            env=os.environ | {"KLEIO_ONCE": "1", "KLEIO_IF_RUNNING": "skip", "KLEIO_QUIET": "1"},
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for shell in shells:
        _, said = shell.communicate(timeout=600)
        assert (shell.returncode, said) == (0, b"")
    assert sorted((project.parent / "done").read_text().split()) == list("1234")


def test_the_same_command_many_times_at_once_runs_once(project, journal_uri):
    fifo = project.parent / "go"
    os.mkfifo(fifo)
    words = ("sh", "-c", "echo ran; read line < ../go")
    many = [start(*words, cwd=project) for _ in range(5)]
    until(lambda: sum(one.poll() is not None for one in many) == 4)
    fifo.write_text("go\n")
    statuses = []
    for one in many:
        one.communicate(timeout=600)
        statuses.append(one.returncode)
    assert sorted(statuses) == [0] + [75] * 4
    assert len(trials()) == 1

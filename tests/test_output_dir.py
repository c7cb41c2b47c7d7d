"""``output_dir``: whose it is, what is in it, and what becomes of it, in real processes with and without the launcher."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from commands import KLEIO, PYTHON, info, kleio, printed, read, script, start, trials
from processes import Terminal
from repositories import git

from kleio.core import outputs
from kleio.core.journal import open_journal

SHOWS = "from kleio.client import output_dir; print(output_dir)\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    directory = tmp_path / "project"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "main", ".")
    script(directory, SHOWS)
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "one")
    monkeypatch.chdir(directory)
    return directory


def alone(*words, check=0, **environment):
    """A script without the launcher: what it printed, and what was said."""
    done = subprocess.run(
        [PYTHON, *map(os.fspath, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600,
        env=os.environ | {name: str(value) for name, value in environment.items()},
    )  # fmt: skip
    assert done.returncode == check, done.stderr
    return done.stdout.strip(), done.stderr


def launched(*words, check=0, **environment):
    """A command under kleio: the same."""
    done = kleio(*words, check=check, **environment)
    return done.stdout.strip(), done.stderr


def artifacts(uri=None, newest=0):
    """Name → content of what was left by a trial, and the records."""
    from kleio.core import lineage, statistics

    journal = open_journal(uri or os.environ.get("KLEIO_JOURNAL") or default_journal(), writing=False)
    try:
        trial = journal.entry(trials()[newest]["id"]).trial
        found = [one for _, own in lineage.seen(journal, trial, ("artifacts",)) for one in statistics.records(own)]
        records = [dict(one.values) for one in sorted(found, key=lambda one: one.time)]
        contents = {}
        for one in records:
            with journal.blob(one["sha256"]) as file:
                contents[one["name"]] = file.read()
        return contents, records
    finally:
        journal.close()


def default_journal():
    return f"sqlite:///{os.environ['KLEIO_HOME']}/journal.db"


# -- the value ---------------------------------------------------------------------------------------------------------


def test_it_is_a_string_and_a_path(project):
    said, _ = alone(
        "-c",
        "import os, pathlib, pickle\n"
        "from kleio.client import output_dir\n"
        "import kleio.client\n"
        "assert kleio.client.output_dir is output_dir\n"
        "assert isinstance(output_dir, str) and isinstance(output_dir, os.PathLike) and output_dir.endswith('run/')\n"
        "open(output_dir + 'a', 'w').close(); open(output_dir + '/b', 'w').close()\n"
        "open(os.path.join(output_dir, 'c'), 'w').close(); (output_dir / 'd' / 'e').parent.mkdir()\n"
        "assert type(output_dir / 'x') is type(pathlib.Path('x')) and type(os.fspath(output_dir)) is not int\n"
        "assert pickle.loads(pickle.dumps(output_dir)) == output_dir and f'{output_dir}x' == output_dir + 'x'\n"
        "os.chdir('/'); print(sorted(os.listdir(output_dir)))\n",
    )
    assert said == "['.gitignore', '.kleio', 'a', 'b', 'c', 'd', 'info.txt', 'packages.txt']"


def test_nothing_is_made_before_it_is_asked_for(project):
    alone("-c", "import inspect, kleio.client; assert 'plot' in dict(inspect.getmembers(kleio.client))")
    launched(PYTHON, "-c", "from kleio.client import kleio_logger")
    assert not (project / "results").exists()


# -- its name ----------------------------------------------------------------------------------------------------------


def test_without_the_launcher_every_run_has_its_own(project):
    made = [alone("train.py") for _ in range(3)]
    assert [path for path, _ in made] == [f"{project}/results/{name}/" for name in ("train", "train-1", "train-2")]
    assert "kleio: files of this run go to results/train-1/" in made[1][1]
    assert alone("train.py", KLEIO_NAME="big")[0] == f"{project}/results/big/"
    (project / "pyproject.toml").write_text('[tool.kleio]\nname = "set"\n')
    (project / "deep").mkdir()
    os.chdir(project / "deep")
    assert alone("../train.py")[0] == f"{project}/results/set/"


def test_processes_that_a_script_starts_share_it(project):
    text = (
        "import multiprocessing, subprocess, sys\n"
        "def child(): print(__import__('kleio.client').client.output_dir, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    from kleio.client import output_dir\n"
        "    print(output_dir, flush=True)\n"
        "    for how in ('spawn', 'fork'):\n"
        "        one = multiprocessing.get_context(how).Process(target=child); one.start(); one.join()\n"
        f"    subprocess.run([sys.executable, '-c', {SHOWS!r}], check=True)\n"
    )
    assert set(alone(script(project, text, "many.py"))[0].split("\n")) == {f"{project}/results/many/"}
    assert alone("train.py", KLEIO_OUTPUT_DIR=project / "mine")[0] == f"{project}/mine/"
    assert (project / "mine/info.txt").exists()


def test_threads_share_it(project):
    text = (
        "import concurrent.futures as futures, kleio.client\n"
        "with futures.ThreadPoolExecutor(8) as pool:\n"
        "    print(len(set(pool.map(lambda _: kleio.client.output_dir, range(32)))))\n"
    )
    assert alone("-c", text)[0] == "1"
    assert os.listdir(project / "results") == ["run"]


@pytest.mark.parametrize(
    ("name", "directory"),
    [("a/b", "a-b"), ("../../x", "x"), ("..", ""), (" sp ace ", "sp ace"), ("tab\tnew\nline", "tab-new-line"),
     ("ünï😀", "ünï😀"), ("-rf", "rf"), ("x" * 300, "x" * 120), ("é" * 100, "é" * 60)],
)  # fmt: skip
def test_odd_names_are_made_names_of_directories(tmp_path, name, directory):
    assert outputs.fitting(name) == directory
    path = str(tmp_path / "results" / (directory or "train"))
    made = [outputs.claim(path, trial, "trial", lambda _: None) for trial in "abc"]
    assert made == [path, f"{path}-1", f"{path}-2"]


@pytest.mark.parametrize(("name", "directory"), [("../../ünï😀", "ünï😀"), ("..", "train"), ("sp ace", "sp ace")])
def test_odd_names_stay_inside_results(project, name, directory):
    path, said = alone("train.py", KLEIO_NAME=name)
    assert path == f"{project}/results/{directory}/"
    assert ("cannot be a directory's name" in said) == (name != directory)
    if directory != "train":
        assert launched(PYTHON, "train.py", KLEIO_NAME=name)[0] == f"{project}/results/{directory}-1/"


@pytest.mark.parametrize("typed", [b"my run\n", b"\n", b"\x04"])
def test_who_sits_at_a_terminal_is_asked(project, typed):
    with Terminal(PYTHON, "train.py") as terminal:
        terminal.until(b"Enter for train:")
        terminal.type(typed)
        shown = terminal.finish()
    name = "my run" if b"my" in typed else "train"
    assert f"{project}/results/{name}/".encode() in shown
    assert terminal.process.returncode == 0


def test_without_a_working_directory_there_is_a_place_too(project, tmp_path):
    text = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n" + SHOWS
    path, said = alone(script(project, text, "gone.py"), TMPDIR=tmp_path / "home")
    assert path == f"{tmp_path}/home/kleio-{os.getuid()}/run/"
    assert "there is no place for files here" in said


def test_nobody_is_asked_under_the_launcher_or_with_a_name(project):
    for words in ([*KLEIO, PYTHON, "train.py"], ["env", "KLEIO_NAME=given", PYTHON, "train.py"]):
        with Terminal(*words) as terminal:
            assert b"Enter for" not in terminal.finish()
    replaced = "import io, sys; sys.stdin = io.StringIO()\n" + SHOWS
    for words in (f"{PYTHON} train.py < /dev/null", f"{PYTHON} {script(project, replaced, 'replaced.py')}"):
        with Terminal("sh", "-c", words) as terminal:
            assert b"Enter for" not in terminal.finish()


# -- under the launcher ------------------------------------------------------------------------------------------------


def test_a_trial_has_one_for_all_its_executions(project):
    prints = "print(output_dir, os.environ['KLEIO_OUTPUT_DIR'])"
    script(project, f"import os, sys\nfrom kleio.client import output_dir\n{prints}\nsys.exit(1)\n", "fails.py")
    first, _ = launched("--name", "it", PYTHON, "fails.py", check=1)
    assert first == f"{project}/results/it/ {project}/results/it"
    assert launched(PYTHON, "fails.py", check=1)[0] == first
    assert launched("--name", "other", "exec", trials()[0]["id"], check=1)[0] == first
    told = (project / "results/it/info.txt").read_text()
    assert told.count("resumed ") == 2
    assert [one["output"] for one in info(trials()[0]["id"])["executions"]] == ["results/it"] * 3
    assert launched("--fresh", "--name", "it", PYTHON, "fails.py", check=1)[0] == first.replace("/it", "/it-1")
    short = trials()[0]["id"]
    kleio("--fresh", PYTHON, "fails.py", check=1)
    assert (project / "results" / trials()[0]["short_id"]).is_dir()
    assert trials()[0]["id"] != short


def test_a_shell_script_finds_the_path_in_its_environment(project):
    writes = 'test ! -e "$KLEIO_OUTPUT_DIR"; mkdir -p "$KLEIO_OUTPUT_DIR"; echo hi > "$KLEIO_OUTPUT_DIR/hi"'
    kleio("--name", "shell", "sh", "-c", writes, check=0)
    assert artifacts()[0] == {"output/hi": b"hi\n"}
    kleio("--name", "shell", "sh", "-c", f"{writes}; exit 1", check=1)
    assert (project / "results/shell-1/hi").exists()
    assert artifacts()[0] == {"output/hi": b"hi\n"}


def test_shell_scripts_of_one_name_at_once_have_one_each(project):
    text = 'echo "$KLEIO_OUTPUT_DIR"; read line; mkdir -p "$KLEIO_OUTPUT_DIR"; echo $0 > "$KLEIO_OUTPUT_DIR/x"'
    words = [[*KLEIO, "-q", "--name", "same", "sh", "-c", text, str(number)] for number in range(4)]
    running = [subprocess.Popen(one, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for one in words]
    told = {one.stdout.readline().strip() for one in running}
    for one in running:
        one.communicate("go\n", timeout=600)
    assert told == {f"{project}/results/{name}" for name in ("same", "same-1", "same-2", "same-3")}
    assert sorted(artifacts(newest=number)[0]["output/x"] for number in range(4)) == [b"0\n", b"1\n", b"2\n", b"3\n"]


def test_what_a_shell_began_a_script_goes_on_with(project):
    text = f'mkdir -p "$KLEIO_OUTPUT_DIR"; echo hi > "$KLEIO_OUTPUT_DIR/hi"; {PYTHON} train.py'
    path, _ = launched("--name", "both", "sh", "-c", text)
    assert path == f"{project}/results/both/"
    assert {"hi", "info.txt", "packages.txt"} <= set(os.listdir(path))


def test_ranks_of_a_trial_share_one_and_trials_never_do(project):
    text = (
        "import subprocess, sys\n"
        f"text = {SHOWS!r} + 'import os; assert os.environ[\"KLEIO_OUTPUT_DIR\"] == output_dir[:-1]'\n"
        "one = [sys.executable, '-c', 'import sys; sys.stdin.readline(); ' + text]\n"
        "ranks = [subprocess.Popen(one, stdin=subprocess.PIPE) for _ in range(4)]\n"
        "for rank in ranks: rank.stdin.write(b'go\\n'); rank.stdin.close()\n"
        "sys.exit(max(rank.wait() for rank in ranks))\n"
    )
    script(project, text, "ranks.py")
    running = [start("--name", "same", PYTHON, "ranks.py", str(number)) for number in range(3)]
    found = []
    for one in running:
        out, err = one.communicate(timeout=600)
        assert one.returncode == 0, err
        found.append(set(re.findall(r"/results/(.+?)/", out)))
    assert all(len(paths) == 1 for paths in found), found
    assert len(set.union(*found)) == 3
    assert sorted(os.listdir(project / "results")) == ["same", "same-1", "same-2"]
    kept = {artifact["name"] for number in range(3) for artifact in artifacts(newest=number)[1]}
    assert kept == {"output/info.txt", "output/packages.txt"}


def test_what_was_made_by_hand_goes_to_the_first_who_claims_it(tmp_path):
    path = tmp_path / "results/a"
    path.mkdir(parents=True)
    (path / "x").write_text("x")
    assert outputs.claim(str(path), "t", "trial", lambda _: None, adopt=True) == str(path)
    assert outputs.owner(str(path)) == "t"
    assert outputs.claim(str(path), "u", "trial", lambda _: None, adopt=True) == f"{path}-1"
    assert sorted(os.listdir(path)) == [".kleio", "x"]


def test_of_two_who_adopt_at_once_one_succeeds(tmp_path, monkeypatch):
    path = tmp_path / "results/a"
    path.mkdir(parents=True)
    (path / "x").write_text("x")
    other = lambda _: (path / ".kleio").write_text("trial other\n")  # noqa: E731 - while we prepare
    assert outputs.claim(str(path), "t", "trial", other, adopt=True) == f"{path}-1"


def test_two_processes_of_a_trial_that_look_for_a_number_at_once_share_one(tmp_path, monkeypatch):
    path, made, listed = str(tmp_path / "results/a"), [], os.listdir
    outputs.claim(path, "other", "trial", lambda _: None)

    def listing(place):
        found = listed(place)
        if not made:  # before we come to it, the other process of ours has made one
            made.append("soon")
            made.append(outputs.claim(path, "t", "trial", lambda _: None))
        return found

    monkeypatch.setattr(os, "listdir", listing)
    assert outputs.claim(path, "t", "trial", lambda _: None) == made[1] == f"{path}-1"


def test_a_trial_finds_what_it_had_again(tmp_path):
    def make(name, trial):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / ".kleio").write_text(f"trial {trial}\n")

    find = outputs.resolve
    root = str(tmp_path)
    assert find(root, "a", "t") == find(root, "a", "t", "results/a") == "results/a"
    make("a", "other")
    assert find(root, "a", "t") == find(root, "a", "t", "results/a") == "results/a-1"
    make("a-1", "t")
    make("a-7", "third")
    assert find(root, "a", "t", "results/a") == "results/a-1"  # killed before it could say so
    assert find(root, "a", "new") == "results/a-8"
    assert find(root, "b", "t", "results/a-1") == "results/a-1"
    assert find(root, "b", "t", "/gone/elsewhere") == "results/b"
    (tmp_path / "results/empty").mkdir()
    assert find(root, "empty", "t") == "results/empty"
    (tmp_path / "results/file").write_text("")
    assert find(root, "file", "t") == "results/file-1"


def test_of_many_that_claim_at_once_each_gets_its_own(tmp_path):
    path = str(tmp_path / "results" / "name")
    text = (
        "import sys; from kleio.core.outputs import claim; sys.stdin.readline()\n"
        "print(claim(sys.argv[1], sys.argv[2], 'trial', lambda made: open(made + '/info.txt', 'w').close()))"
    )
    trials_ = [f"t{number % 4}" for number in range(16)]
    words = [[sys.executable, "-c", text, path, trial] for trial in trials_]
    running = [subprocess.Popen(one, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for one in words]
    for one in running:
        one.stdin.write("go\n")
        one.stdin.flush()
    made = [one.communicate(timeout=600)[0].strip() for one in running]
    assert {trial: {path for own, path in zip(trials_, made, strict=True) if own == trial} for trial in set(trials_)} == {
        trial: {made[trials_.index(trial)]} for trial in set(trials_)
    }
    assert len(set(made)) == 4
    assert all(outputs.owner(path) == trial for trial, path in zip(trials_, made, strict=True))
    assert not [name for name in os.listdir(tmp_path / "results") if name.endswith(".tmp")]


# -- where it cannot be made -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("under_kleio", [False, True])
def test_elsewhere_where_results_cannot_be_written(project, tmp_path, under_kleio):
    (project / "results").write_text("a file, not a directory")
    run = launched if under_kleio else alone
    words = (PYTHON, "train.py") if under_kleio else ("train.py",)
    path, said = run(*words, TMPDIR=tmp_path / "home")
    assert path.startswith(f"{tmp_path}/home/kleio-{os.getuid()}/")
    assert os.stat(os.path.dirname(path.rstrip("/"))).st_mode & 0o77 == 0
    assert "cannot be made, files go to" in said
    assert os.path.exists(f"{path}info.txt")
    if under_kleio:
        assert set(artifacts()[0]) == {"output/info.txt", "output/packages.txt"}
        assert info(trials()[0]["id"])["executions"][0]["output"] == path.rstrip("/")
    done = subprocess.run(
        [*(KLEIO if under_kleio else []), PYTHON, "train.py"], env=os.environ | {"KLEIO_STRICT": "1"}, capture_output=True
    )
    assert done.returncode == 1
    assert b"FileExistsError" in done.stderr or b"NotADirectoryError" in done.stderr


def test_without_a_home(project):
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "KLEIO_HOME")}
    done = subprocess.run(
        [PYTHON, "train.py"], env=environment | {"HOME": ""}, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.stdout.strip() == f"{project}/results/train/", done.stderr


# -- what is in it -----------------------------------------------------------------------------------------------------


def test_info_and_packages(project):
    (project / "train.py").write_text(SHOWS + "# changed\n")
    (project / "new.txt").write_text("new")
    token = "ghp_" + "x4Kd82mLq0PzR7tYw3Nv" + "5Jb1Hc6Fg9Qs2D"
    launched(PYTHON, "train.py", "--lr", "0.1", "--api-key", "s3cr3t-of-mine", "--push", f"https://me:{token}@example.org")
    (place,) = (project / "results").iterdir()
    told = (place / "info.txt").read_text()
    facts = dict(re.findall(r"^(\w+) +(.+)$", told, re.MULTILINE))
    commit = git(project, "rev-parse", "HEAD").decode().strip()
    assert facts["command"].startswith(f"{PYTHON} train.py --lr 0.1 --api-key '<redacted>'")
    assert (facts["trial"], facts["host"], facts["directory"]) == (trials()[0]["id"], os.uname().nodename, str(project))
    assert (facts["commit"], facts["branch"]) == (commit, "main")
    assert "  lr         0.1" in told
    assert "+# changed" in told
    assert "  new.txt" in told
    assert "s3cr3t-of-mine" not in told
    assert token not in told
    packages = (place / "packages.txt").read_text().splitlines()
    assert len(packages) == len({line.partition("==")[0] for line in packages})
    assert any(line.startswith("numpy==") for line in packages)
    git(project, "checkout", "-q", "train.py")
    patch = told.partition("uncommitted changes\n\n")[2]
    git(project, "apply", "-", input=patch.encode())
    assert (project / "train.py").read_text().endswith("# changed\n")


def test_secrets_on_the_command_line_stay_out_without_the_launcher(project):
    path, _ = alone("train.py", "--api-key", "s3cr3t-of-mine")
    told = pathlib.Path(path, "info.txt").read_text()
    assert "train.py --api-key '<redacted>'" in told
    assert "s3cr3t-of-mine" not in told


def test_secrets_in_changed_files_stay_out(project):
    (project / "settings.py").write_text("x = 1\n")
    (project / ".env").write_text("A=1\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "two")
    (project / "settings.py").write_text("x = 2\npassword = 'Tr0ub4dor&3x'\n")
    (project / ".env").write_text("A=hidden-thing\n")
    (project / "train.py").write_text(SHOWS + "y = 1\n")
    path, _ = alone("train.py")
    told = pathlib.Path(path, "info.txt").read_text()
    assert "Tr0ub4dor" not in told
    assert "hidden-thing" not in told
    assert "+y = 1" in told
    assert told.count("(left out: ") == 2


def test_a_large_change_is_cut_off(project):
    (project / "train.py").write_text(SHOWS + "# a line that is there many times\n" * 30_000)
    path, _ = alone("train.py")
    assert os.path.getsize(f"{path}info.txt") < 300_000
    assert pathlib.Path(path, "info.txt").read_text().endswith("(cut off here)\n")


def test_git_does_not_see_it(project):
    alone("train.py")
    launched(PYTHON, "train.py")
    kleio("--name", "sh", "sh", "-c", 'mkdir -p "$KLEIO_OUTPUT_DIR"; touch "$KLEIO_OUTPUT_DIR/x"', check=0)
    assert git(project, "status", "--porcelain") == b""
    kleio("--require-clean", PYTHON, "train.py", check=0)


# -- what becomes of it ------------------------------------------------------------------------------------------------


def test_what_is_left_becomes_artifacts_once_per_content(project, journal_uri):
    text = (
        "import sys, os\nfrom kleio.client import output_dir\n"
        "os.makedirs(output_dir / 'deep', exist_ok=True)\n"
        "open(output_dir / 'deep/same.bin', 'wb').write(b'same' * 1000)\n"
        "open(output_dir + 'curve.csv', 'a').write('1,2\\n')\n"
        "sys.exit(1)\n"
    )
    script(project, text, "fails.py")
    launched(PYTHON, "fails.py", check=1)
    contents, _ = artifacts()
    assert contents["output/deep/same.bin"] == b"same" * 1000
    assert contents["output/curve.csv"] == b"1,2\n"
    assert set(contents) == {"output/deep/same.bin", "output/curve.csv", "output/info.txt", "output/packages.txt"}
    launched(PYTHON, "fails.py", check=1)
    contents, records = artifacts()
    names = [one["name"] for one in records]
    assert (names.count("output/deep/same.bin"), names.count("output/curve.csv")) == (1, 2)
    assert contents["output/curve.csv"] == b"1,2\n" * 2
    shown = printed("info", trials()[0]["id"])
    assert re.search(r"output/ .*4 files in results/\w+: curve.csv, deep/same.bin, info.txt, packages.txt", shown)


def test_what_lay_there_when_a_run_went_on_from_before_is_still_its_own(project):
    """``resume_from`` gives up what was logged after a checkpoint, and the files were stored at the end."""
    text = (
        "import sys\nfrom kleio.client import kleio_logger, output_dir\n"
        "found = kleio_logger.load_artifacts('checkpoint')\n"
        "if found:\n    kleio_logger.resume_from(found[0])\n"
        "else:\n    kleio_logger.log_artifact('checkpoint', b'x'); open(output_dir + 'curve.csv', 'w').write('1')\n"
        "sys.exit(not found)\n"
    )
    script(project, text, "resumes.py")
    kleio(PYTHON, "resumes.py", check=1)
    kleio(PYTHON, "resumes.py", check=0)
    shown = printed("info", trials()[0]["id"])
    assert re.search("output/.*curve.csv", shown)


def test_it_is_nothing_to_resume_from(project):
    """A debug loop: it crashes, is edited, and is run again."""
    script(project, SHOWS + "exit(1)\n", "crash.py")
    kleio("-q", PYTHON, "crash.py", check=1)
    script(project, SHOWS + "exit(2)\n", "crash.py")
    done = kleio(PYTHON, "crash.py", check=2)
    assert "which left nothing to resume from" in done.stderr
    assert len(trials()) == 2
    logs = "from kleio.client import kleio_logger\nkleio_logger.log_artifact('x', b'x')\n"
    script(project, SHOWS + logs + "exit(1)\n", "crash.py")
    kleio(PYTHON, "crash.py", check=1)
    script(project, SHOWS, "crash.py")
    kleio(PYTHON, "crash.py", check=78)


def test_a_run_that_is_offline_keeps_them_too(project):
    script(project, SHOWS + "exit(1)\n", "crash.py")
    kleio("--offline", PYTHON, "crash.py", check=1)
    script(project, SHOWS + "exit(2)\n", "crash.py")
    kleio("--offline", PYTHON, "crash.py", check=2)
    kleio("sync", check=0)
    assert set(artifacts()[0]) == {"output/info.txt", "output/packages.txt"}


def test_what_cannot_or_may_not_be_kept_is_named(project, tmp_path, journal_uri):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.txt").write_text("outside")
    text = (
        "import os, socket, sys\nfrom kleio.client import output_dir\n"
        "open(output_dir + 'big.bin', 'wb').write(b'x' * 5000)\n"
        "for name in 'abc': open(output_dir + name, 'wb').write(name.encode() * 900)\n"
        f"os.symlink({str(tmp_path / 'outside')!r}, output_dir + 'link')\n"
        f"os.symlink({str(tmp_path / 'outside/secret.txt')!r}, output_dir + 'linked.txt')\n"
        "os.mkfifo(output_dir + 'fifo'); os.mkfifo(os.fsencode(output_dir) + b'fifo\\xff')\n"
        "os.chdir(output_dir); socket.socket(socket.AF_UNIX).bind('socket')\n"
        "open(os.fsencode(output_dir) + b'\\xff.txt', 'wb').write(b'odd')\n"
    )
    script(project, text, "odd.py")
    done = kleio("--name", "odd", PYTHON, "odd.py", check=0, KLEIO_OUTPUT_FILE_LIMIT="4000", KLEIO_OUTPUT_TOTAL="2800")
    contents, _ = artifacts()
    assert contents.pop("output/\\udcff.txt") == b"odd"
    assert b"outside" not in b"".join(contents.values())
    left = re.search(r"left in results/odd and not kept: (.*)", done.stderr)[1]
    assert " more" in left
    assert "big.bin" not in contents
    event = [one for one in entry_events() if one.kind == "output"]
    why = dict(map(tuple, event[0].data["kept"]["left_out"]))
    assert why["big.bin"] == "5,000 bytes, more than output-file-limit"
    assert {why["link"], why["linked.txt"]} == {"a link"}
    assert {why["fifo"], why["socket"], why["fifo\\udcff"]} == {"no file"}
    assert re.search(r"left in results/odd and not kept: .* more", printed("info", trials()[0]["id"]))
    assert any("output-total" in reason for reason in why.values())


def entry_events():
    journal = open_journal(os.environ["KLEIO_JOURNAL"], writing=False)
    try:
        return journal.entry(trials()[0]["id"]).events
    finally:
        journal.close()


def test_in_a_hurry_the_newest_is_kept_first(tmp_path):
    from kleio.core.collecting import Collector
    from kleio.core.spool import Spool

    spool, _, _ = Spool.create(str(tmp_path / "spools"), "e" * 32, {})
    place = tmp_path / "results"
    place.mkdir()
    for number in range(4):
        (place / f"{number}").write_bytes(b"x" * (number + 1))
        os.utime(place / f"{number}", (number, number))
    collector = Collector(spool, "t", {}, 1 << 20, 7, 60.0, hurried=True)
    collector.collect(str(place))
    assert [path for path, _ in collector.left_out] == ["1", "0"]
    late = Collector(spool, "t", {}, 1 << 20, 1 << 20, -1.0)
    late.collect(str(place))
    assert (late.files, late.left_out) == (0, [(".", "there was no time")])


def test_a_run_that_is_told_to_end_keeps_them(project):
    writes = "from kleio.client import output_dir\nopen(output_dir + 'x', 'w').write('x')\n"
    script(project, f"import signal\n{writes}print('up', flush=True)\nsignal.pause()\n", "waits.py")
    running = start(PYTHON, "waits.py")
    assert running.stdout.readline() == "up\n"
    running.terminate()
    running.communicate(timeout=600)
    assert "output/x" in artifacts()[0]
    assert trials()[0]["status"] == "interrupted"


def test_trace_finds_the_run_of_a_file_by_its_content(project, tmp_path):
    writes = "open(output_dir + 'net.bin', 'wb').write(b'weights' * 99)"
    script(project, f"from kleio.client import output_dir\n{writes}\n", "net.py")
    kleio(PYTHON, "net.py", check=0)
    (found,) = (project / "results").glob("*/net.bin")
    (tmp_path / "copy").write_bytes(found.read_bytes())
    for path in (found, tmp_path / "copy"):
        assert read("trace", "--json", path)[0]["id"] == trials()[0]["id"]
    shown = printed("info", trials()[0]["id"])
    assert "net.bin" in shown.partition("files written")[2]
    assert ".gitignore" not in shown


def test_a_repetition_may_leave_files_that_name_it(project):
    text = "from kleio.client import output_dir\nopen(output_dir + 'r.csv', 'w').write('1')\n"
    script(project, text, "same.py")
    kleio(PYTHON, "same.py", check=0)
    kleio("repeat", "--verify", trials()[0]["id"], check=0)


def test_another_one_s_directory_is_left_alone(project):
    """A directory that was made for this run by hand and is another's by now."""
    text = 'mkdir -p "$KLEIO_OUTPUT_DIR"; cd "$KLEIO_OUTPUT_DIR"; echo "trial someone-else" > .kleio; echo x > x'
    kleio("sh", "-c", text, check=0)
    assert artifacts()[0] == {}


def test_a_signal_that_comes_while_files_are_collected_bounds_it(tmp_path, monkeypatch):
    from kleio.core import collecting
    from kleio.core.spool import Spool

    monkeypatch.setattr(collecting, "HURRIED", -1.0)
    spool, _, _ = Spool.create(str(tmp_path / "spools"), "e" * 32, {})
    (tmp_path / "results").mkdir()
    (tmp_path / "results/x").write_bytes(b"x")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        signal.raise_signal(signal.SIGTERM)  # for this thread: the others have it unblocked
        collector = collecting.Collector(spool, "t", {}, 1 << 20, 1 << 20, 60.0)
        collector.collect(str(tmp_path / "results"))
        assert signal.sigwait({signal.SIGTERM}) == signal.SIGTERM
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    assert collector.left_out == [(".", "there was no time")]


def test_every_experiment_of_a_script_has_its_own(project):
    text = (
        "import kleio.client\nfrom kleio.client import Experiment\n"
        "for k in range(2):\n"
        "    with Experiment({'k': k}):\n"
        "        open(kleio.client.output_dir + 'k.txt', 'w').write(str(k))\n"
        "open(kleio.client.output_dir + 'outside', 'w').close()\n"
    )
    alone(script(project, text, "loop.py"))
    found = {one["params"]["k"]: one["short_id"] for one in trials()}
    assert {path.parent.name: path.read_text() for path in (project / "results").glob("*/k.txt")} == {
        short: str(k) for k, short in found.items()
    }
    assert (project / "results/loop/outside").exists()
    assert {artifacts(newest=number)[0]["output/k.txt"] for number in range(2)} == {b"0", b"1"}

"""``kleio artifacts`` and ``kleio get``: the artifacts of a trial, listed and brought back as files."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess

import pytest
from commands import KLEIO, kleio, printed, read, start, until

from kleio.core.errors import Damaged, KleioError, UsageError
from kleio.core.fetching import relative_path
from kleio.core.query_syntax import QueryError
from kleio.core.wholefile import PREFIX, whole

WEIGHTS = [
    ("weights.pt", f"weights of epoch {epoch}".encode(), {"epoch": epoch, "val_loss": 1 / epoch}) for epoch in (1, 5, 10)
]
OTHERS = [
    ("plots/a.png", b"a", {"kind": "plot", "val/loss": 0.5, "model": {"depth": 3}}),
    ("plots/b.png", b"b", {"kind": "plot"}),
    ("run.txt", b"text", {"epoch": "10", "best": True}),
]
HOSTILE = [
    "../../up.txt", "/abs.txt", "new\nline\x1b[2J", "", "..", "a/../../b.txt", "x" * 400 + ".bin", "\ud800.txt", "nul\0.txt",
]  # fmt: skip


@pytest.fixture
def trial(records):
    return records.trial(artifacts=[*WEIGHTS, *OTHERS], params={"lr": 0.1})


@pytest.fixture
def kept(local):
    return local.trial(artifacts=[*WEIGHTS, *OTHERS], params={"lr": 0.1})


def refused(*words, kind=KleioError):
    with pytest.raises(kind) as caught:
        printed(*words)
    return "\n".join(caught.value.lines)


def files(directory="."):
    found = [os.path.relpath(os.path.join(place, name), directory) for place, _, names in os.walk(directory) for name in names]
    return sorted(found)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def test_artifacts_are_listed_every_version_in_the_order_of_logging(trial, records):
    found = read("artifacts", trial, "--json")
    assert [(one["name"], one["meta"].get("epoch")) for one in found] == [
        ("weights.pt", 1), ("weights.pt", 5), ("weights.pt", 10),
        ("plots/a.png", None), ("plots/b.png", None), ("run.txt", "10"),
    ]  # fmt: skip
    first = found[0]
    assert list(first) == ["name", "size", "sha256", "meta", "time", "execution", "number", "trial"]
    assert (first["size"], first["number"], first["trial"]) == (18, 1, trial)
    assert first["sha256"] == hashlib.sha256(b"weights of epoch 1").hexdigest()
    head, *lines = printed("artifacts", trial).splitlines()
    assert head == "NAME\tSIZE\tMETA\tTIME\tEXECUTION\tSHA256"
    assert lines[2].split("\t")[:3] == ["weights.pt", "19", "epoch=10 val_loss=0.1"]
    plots = printed("artifacts", trial, "*.png").splitlines()[1:]
    assert [line.split("\t")[0] for line in plots] == ["plots/a.png", "plots/b.png"]
    assert read("artifacts", "--trial", "params.lr == 0.1", "run.txt", "--json")[0]["trial"] == trial
    assert read("artifacts", records.trial(), "--json") == []


MEANT = {
    "epoch=10": ["weights.pt", "run.txt"],
    "epoch = 5": ["weights.pt"],
    "epoch > 4": ["weights.pt", "weights.pt"],
    "epoch == 10 and val_loss < 0.3": ["weights.pt"],
    "kind=plot": ["plots/a.png", "plots/b.png"],
    "kind='plot'": ["plots/a.png", "plots/b.png"],
    "best=true": ["run.txt"],
    "kind == null and size < 5": ["run.txt"],
    'meta["val/loss"] == 0.5': ["plots/a.png"],
    "model.depth=3": ["plots/a.png"],
    "name matches 'b.png$'": ["plots/b.png"],
    "time < '1990-01-01'": [],
    "time > '1990-01-01' and epoch == 1": ["weights.pt"],
}


def test_where_speaks_of_what_artifacts_were_logged_with(kept):
    for where, meant in MEANT.items():
        assert [one["name"] for one in read("artifacts", kept, "--where", where, "--json")] == meant, where


def test_what_cannot_be_meant_is_said(kept):
    assert "no artifact was logged with epoc; did you mean epoch?" in refused("get", kept, "run.txt", "--where", "epoc=1")
    assert "trials are chosen with --trial" in refused("artifacts", kept, "--where", "params.lr == 0.1", kind=QueryError)
    assert "did you mean 'weights.pt'?" in refused("get", kept, "weight.pt")
    assert "weights.pt with epoch=7; kleio artifacts" in refused("get", kept, "weights.pt", "--where", "epoch=7")
    assert "which trial?" in refused("get", kind=UsageError)
    said = refused("get", "weights.pt", "--where", "epoch=5").splitlines()
    assert "'weights.pt' is no trial id" in said[0]
    assert said[1] == "an ID comes before weights.pt, or --trial QUERY chooses the trial; --where speaks of artifacts"
    assert "which artifact?" in refused("get", kept, kind=UsageError)
    assert "say where they go with -o" in refused("get", kept, "*", kind=UsageError)
    assert "say where they go with -o" in refused("get", kept, "weights.pt", "--all", "-o", "-", kind=UsageError)
    assert files() == []


def test_the_newest_that_matches_comes_back_under_its_name(trial):
    assert printed("get", trial, "weights.pt") == ""
    printed("get", trial, "weights.pt", "--where", "epoch=5", "-o", "five.pt")
    printed("get", trial, "plots/a.png")
    os.mkdir("there")
    printed("get", trial, "run.txt", "-o", "there")
    printed("get", trial, "plots/*", "run.txt", "-o", "new/")
    assert files() == [
        "five.pt", "new/plots/a.png", "new/plots/b.png", "new/run.txt", "plots/a.png", "there/run.txt", "weights.pt",
    ]  # fmt: skip
    assert (contents("weights.pt"), contents("five.pt")) == (b"weights of epoch 10", b"weights of epoch 5")


def test_every_version_has_its_number(kept):
    printed("get", kept, "weights.pt", "run.txt", "--all", "-o", "all/")
    assert files("all") == ["run.txt", "weights.1.pt", "weights.2.pt", "weights.3.pt"]
    assert contents("all/weights.2.pt") == b"weights of epoch 5"


def test_nothing_that_is_there_is_destroyed(kept):
    printed("get", kept, "weights.pt")
    os.utime("weights.pt", (1, 1))
    assert [one["written"] for one in read("get", kept, "weights.pt", "--json")] == [False]
    assert os.stat("weights.pt").st_mtime == 1
    with open("weights.pt", "wb") as file:
        file.write(b"mine")
    said = refused("get", kept, "weights.pt", "run.txt", "-o", "./")
    assert said == "./weights.pt is there with other content; write elsewhere with -o PATH, or replace with --force"
    assert (contents("weights.pt"), files()) == (b"mine", ["weights.pt"])
    printed("get", kept, "weights.pt", "--force")
    assert contents("weights.pt") == b"weights of epoch 10"
    os.mkdir("run.txt")
    assert "run.txt is a directory" in refused("get", kept, "run.txt", "--force")
    assert "is no directory" in refused("get", kept, "run.txt", "plots/a.png", "-o", "weights.pt")
    assert "there is no directory" in refused("get", kept, "plots/a.png", "-o", "no/such/place")
    assert files() == ["weights.pt"]


def test_to_stdout(kept):
    done = subprocess.run([*KLEIO, "get", kept, "plots/a.png", "-o", "-"], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"a", b"")


def test_hostile_names_stay_in_the_directory(local, tmp_path):
    trial = local.trial(artifacts=[(name, f"{at} bytes".encode(), {}) for at, name in enumerate(HOSTILE)])
    os.mkdir("in")
    printed("get", trial, "*", "-o", "in")
    assert len(files("in")) == len(HOSTILE)
    assert {"up.txt", "abs.txt", "new_line_[2J", "b.txt", "nul_.txt"} < {os.path.basename(one) for one in files("in")}
    assert [one for one in files(tmp_path) if "up.txt" in one] == ["work/in/up.txt"]
    os.symlink(tmp_path, "out")
    linked = local.trial(artifacts=[("out/x.txt", b"x", {}), ("Up.txt", b"1", {}), ("./Up.txt", b"2", {})])
    assert "outside of ." in refused("get", linked, "out/x.txt")
    assert "would be one file" in refused("get", linked, "*Up.txt", "-o", "up/", kind=UsageError)
    assert not os.path.exists(tmp_path / "x.txt")
    lines = printed("artifacts", trial).splitlines()
    assert len(lines) == len(HOSTILE) + 1
    assert not any("\x1b" in line for line in lines)


def test_no_name_leads_out():
    parts = ["..", ".", "", "a", "~", "\0", "\n", "..\0", "…", "x" * 300, "\ud83d", "日本語" * 60, "-o", "con.txt"]
    chosen = random.Random(1)
    for _ in range(4000):
        path = relative_path("/".join(chosen.choices(parts, k=chosen.randint(1, 6))))
        assert not path.startswith("/")
        for part in path.split("/") if path else ():
            assert part not in ("", ".", "..")
            assert len(os.fsencode(part)) <= 255
            assert "\0" not in part


def damage(journal_uri, mongo_client, digest, home):
    """Change one bit of what is stored."""
    if journal_uri.startswith("sqlite"):
        path = home / "blobs" / digest[:2] / digest
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        return
    database = mongo_client[journal_uri.rpartition("/")[2].partition("?")[0]]
    stored = database["blobs.files"].find_one({"filename": digest})
    chunk = database["blobs.chunks"].find_one({"files_id": stored["_id"]}, sort=[("n", -1)])
    data = bytearray(chunk["data"])
    data[-1] ^= 1
    database["blobs.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": bytes(data)}})


def test_damaged_bytes_are_no_file(records, journal_uri, mongo_client, home):
    data = os.urandom(600_000)
    trial = records.trial(artifacts=[("deep/down/data.bin", data, {}), ("other", b"fine", {})])
    damage(journal_uri, mongo_client, hashlib.sha256(data).hexdigest(), home)
    assert "damaged in the journal" in refused("get", trial, "deep/down/data.bin", kind=Damaged)
    with open("mine", "wb") as file:
        file.write(b"mine")
    refused("get", trial, "deep/down/data.bin", "-o", "mine", "--force", kind=Damaged)
    assert (os.listdir(), contents("mine")) == (["mine"], b"mine")
    done = kleio("get", trial, "deep/down/data.bin", "-o", "-", check=1)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    printed("get", trial, "other")


def test_a_branch_has_what_it_inherits(records):
    parent = records.trial(artifacts=WEIGHTS)
    execution = records.journal.entry(parent).executions[0].id
    cut = {"criterion": "end", "by": "branch", "changed": [], "ends": [[parent, execution, "w0", "artifacts", 20]]}
    branch = records.trial(artifacts=[("own.txt", b"own", {})], parent=parent, cut=cut)
    found = read("artifacts", branch, "--json")
    assert [(one["name"], one["trial"], one["number"]) for one in found] == [
        ("weights.pt", parent, None), ("weights.pt", parent, None), ("own.txt", branch, 1),
    ]  # fmt: skip
    assert [line.split("\t")[4] for line in printed("artifacts", branch).splitlines()[1:]] == [f"of {parent[:7]}"] * 2 + ["1"]
    printed("get", branch, "weights.pt")
    assert contents("weights.pt") == b"weights of epoch 5"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_leaves_no_part_of_a_file(local, number):
    data = os.urandom(1 << 20) * 24
    trial = local.trial(artifacts=[("large.bin", data, {})])
    process = start("get", trial, "large.bin", "-o", "in/")
    until(lambda: process.poll() is not None or (os.path.isdir("in") and [one for one in os.listdir("in") if one[0] == "."]))
    process.send_signal(number)
    process.communicate()
    assert process.returncode in (0, -number)  # it may have been quicker
    left = files("in") if os.path.isdir("in") else []
    whole = [one for one in left if one[0] != "."]
    assert whole in ([], ["large.bin"])
    assert not whole or contents("in/large.bin") == data
    assert number == signal.SIGKILL or left == whole
    printed("get", trial, "large.bin", "-o", "in/")
    assert files("in") == ["large.bin"]
    assert contents("in/large.bin") == data


def test_who_writes_beside_another_leaves_his_file_alone(tmp_path):
    with whole(tmp_path / "one.bin") as first:
        with open(first, "w") as file:
            file.write("1")
        with whole(tmp_path / "two.bin"):
            pass
        (tmp_path / f"{PREFIX}{'0' * 16}.bin").write_text("left by one that was killed")
        with whole(tmp_path / "two.bin"):
            pass
    assert (tmp_path / "one.bin").read_text() == "1"
    assert files(tmp_path) == ["one.bin", "two.bin"]


def test_what_is_told_on_stderr_can_be_silenced(kept):
    done = kleio("get", kept, "weights.pt", "--where", "epoch=5", check=0)
    assert done.stderr == "kleio: weights.pt  18 B  epoch=5 val_loss=0.2 → weights.pt\n"
    assert kleio("-q", "get", kept, "weights.pt", "--force", check=0).stderr == ""

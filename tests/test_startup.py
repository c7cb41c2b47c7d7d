"""The start-up hook: a Python under kleio is the Python that it would be without, and what ends its script is recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import KLEIO, PYTHON, info, kleio, printed, script, start, trials, until

import kleio as package
from kleio.core.config import HOOK

STATE = """
import sys
loaded = sorted(name for name in sys.modules if not name.startswith(("kleio", "__editable__")) and name != "atexit")
site = sys.modules.get("sitecustomize")
print([sys.path, loaded, site and (site.__file__, site.__spec__.origin, site.__name__), sys.argv, sys.flags])
"""
OTHERS = sorted(path for path in Path(sys.base_prefix).parent.glob("*/bin/python") if os.access(path, os.X_OK))
"""Other versions, where they are installed side by side, as pyenv does."""


def both(*words, cwd=None, check=0, **environment):
    """The same command without the hook and with it: (stdout, stderr) of each."""
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    path = [HOOK, *([given["PYTHONPATH"]] if "PYTHONPATH" in given else [])]
    found = []
    for one in (given, given | {"PYTHONPATH": os.pathsep.join(path), "KLEIO_SPOOL": "/nowhere"}):
        done = subprocess.run([*map(os.fspath, words)], env=one, cwd=cwd, capture_output=True, text=True, timeout=600)
        assert done.returncode == check, done.stderr
        found.append((done.stdout, done.stderr))
    return found


def exceptions(trial=None):
    return info(trial or trials()[0]["id"])["executions"][-1]["exceptions"]


def launch(*words, cwd, check=1, **environment):
    """As ``kleio -q WORDS``; a traceback of the script is nothing bad here."""
    command = [*KLEIO, "-q", *map(os.fspath, words)]
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == check, done.stderr
    return done


def run(tmp_path, text, check=1, **environment):
    return launch(PYTHON, script(tmp_path, text), cwd=tmp_path, check=check, **environment)


# -- nothing is changed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("-I",), ("-E",), ("-s",), ("-P",) if sys.version_info >= (3, 11) else ("-B",)])
def test_the_interpreter_is_as_it_would_be_without(options):
    plain, hooked = both(PYTHON, *options, "-c", STATE)
    assert hooked == plain
    assert "None" in plain[0]  # there is no sitecustomize, and none seems to be


def test_without_site_the_hook_does_nothing():
    plain, hooked = both(PYTHON, "-S", "-c", "import sys; print(sorted(sys.modules), 'kleio' in sys.modules)")
    assert hooked == plain


CUSTOM = "import sys\nCOUNT = 1\nsys.from_site = __name__, __file__\n"


NOTICED = """
import sys
state = sys.path, sys.argv, sys.flags, [str(one).partition(" at ")[0] for one in sys.path_hooks]
hooks = sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__
finders = [str(one).partition(" object")[0].strip("<") for one in sys.meta_path]
names = [name for name in sys.modules if name.startswith("kleio") or name == "atexit"]
import atexit, signal, threading, warnings
print(str([*state, *hooks, warnings.filters, threading.active_count(), list(map(signal.getsignal, signal.valid_signals()))]))
print(finders[:1], atexit._ncallbacks(), sorted(names))
"""


def test_what_a_script_could_notice_is_what_the_documentation_says():
    plain, hooked = (said[0].splitlines() for said in both(PYTHON, "-c", NOTICED))
    assert hooked[0].replace(HOOK, "") == plain[0]
    modules = ["atexit", "kleio", "kleio.client", "kleio.client.startup"]
    assert hooked[1] == f"['kleio.client.startup._Watching'] 1 {modules}"
    assert plain[1].endswith(" 0 []")


def test_what_is_registered_for_the_end_runs_before_kleio_looks_back(tmp_path):
    text = "import atexit, sys\natexit.register(lambda: print('loaded', 'kleio.client.exceptions' in sys.modules))\n1/0"
    assert run(tmp_path, text).stdout == "loaded False\n"
    assert [one["type"] for one in exceptions()] == ["ZeroDivisionError"]


@pytest.mark.parametrize("how", ["os.environ.pop('PYTHONPATH')", "os.environ.clear()"])
def test_a_script_may_take_the_hook_from_its_children(tmp_path, how):
    script(tmp_path, "import sys\nprint('kleio' in sys.modules)", "child.py")
    text = f"import os, subprocess, sys\n{how}\nsubprocess.run([sys.executable, 'child.py'], check=True)\n1/0"
    assert run(tmp_path, text).stdout == "False\n"
    assert bool(exceptions()) == ("pop" in how)


def test_another_sitecustomize_is_run_as_if_there_was_no_hook(tmp_path):
    script(tmp_path, CUSTOM, "sitecustomize.py")
    text = STATE + "import sitecustomize; print(sys.from_site, sitecustomize.COUNT, sitecustomize is site)"
    plain, hooked = both(PYTHON, "-c", text, PYTHONPATH=str(tmp_path))
    assert hooked == plain
    assert str(tmp_path) in hooked[0]


@pytest.mark.parametrize(
    "text", ["raise ValueError('mine')", "import nowhere_to_be_found", "raise ImportError('odd')", "raise SystemExit(7)", "1 +"]
)
def test_a_sitecustomize_that_fails_says_what_it_says_without_the_hook(tmp_path, text):
    script(tmp_path, text, "sitecustomize.py")
    exits = "SystemExit" in text
    plain, hooked = both(PYTHON, "-c", STATE, PYTHONPATH=str(tmp_path), check=1 if exits else 0)
    if exits:  # Python itself gives up, and shows through whom it came to that
        assert plain[1].splitlines()[-1] == hooked[1].splitlines()[-1]
    else:
        assert hooked == plain
        assert plain[1]


def test_a_usercustomize_is_run_too(tmp_path):
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    place = tmp_path / "lib" / version / "site-packages"
    place.mkdir(parents=True)
    script(place, "print('user', 'sitecustomize' in __import__('sys').modules)", "usercustomize.py")
    base = os.path.join(sys.base_prefix, "bin", "python3")  # a virtual environment has no place of the user's
    plain, hooked = both(base, "-c", STATE, PYTHONUSERBASE=str(tmp_path))
    assert hooked == plain
    assert plain[0].startswith("user False")


def test_a_python_without_kleio_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)  # it may have kleio
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    plain, hooked = both(python, "-c", STATE + "print('kleio' in sys.modules)")
    assert hooked == plain
    text = "import argparse, sys\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float)\n"
    path = script(tmp_path, text + "print(p.parse_args(), sys.path)\n1/0")
    plain = subprocess.run([python, path, "--lr", "1"], capture_output=True, text=True, cwd=tmp_path)
    done = launch(python, path, "--lr", "1", cwd=tmp_path, check=1)
    assert (done.stdout, done.stderr) == (plain.stdout, plain.stderr)
    assert trials()[0]["params"] == {"lr": 1}
    assert exceptions() == []


@pytest.mark.parametrize("python", OTHERS, ids=lambda path: path.parent.parent.name)
def test_pythons_of_any_age_run_as_ever(python, tmp_path):
    script(tmp_path, "import sys\nsys.custom = 1\n", "sitecustomize.py")
    text = "import sys; print((sys.path, sorted(sys.modules), getattr(sys, 'custom', 0)))"
    kept = {"PYTHONDONTWRITEBYTECODE": "1"}
    for environment in (kept, kept | {"PYTHONPATH": str(tmp_path)}):
        plain, hooked = both(python, "-c", text, **environment)
        assert hooked == plain


def test_the_hook_loads_next_to_nothing():
    environment = os.environ | {"PYTHONPATH": HOOK, "KLEIO_SPOOL": "/nowhere"}
    show = [PYTHON, "-X", "importtime", "-c", "import sys; print(len(sys.meta_path))"]
    done = subprocess.run(show, env=environment, capture_output=True, text=True, check=True)
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {name for name in names if name.startswith("kleio")} == {"kleio", "kleio.client", "kleio.client.startup"}


def test_kleio_itself_is_not_watched():
    environment = os.environ | {"PYTHONPATH": HOOK, "KLEIO_SPOOL": "/nowhere"}
    show = [*KLEIO[:1], "-X", "importtime", "-m", "kleio", "--version"]
    done = subprocess.run(show, env=environment, capture_output=True, text=True, check=True)
    assert "kleio.client.parsers" not in done.stderr


WATCHED = """
import argparse, copy, importlib.util, inspect, pickle, sys
p = argparse.ArgumentParser()
p.add_argument("--x", type=int)
print(inspect.signature(argparse.ArgumentParser.parse_known_args), argparse.ArgumentParser.parse_known_args.__qualname__)
print(type(argparse.__loader__), type(argparse.__spec__.loader), inspect.getsourcefile(argparse.ArgumentParser))
print(len(inspect.getsource(argparse.ArgumentParser.parse_known_args)), argparse.ArgumentParser.parse_known_args.__doc__)
known = argparse.ArgumentParser.parse_known_args
print(copy.deepcopy(p).parse_args([]), pickle.loads(pickle.dumps(known)) is known)
print(p.parse_known_args(["--x", "3", "rest"]), isinstance(p, argparse.ArgumentParser))
print(p.parse_args(iter(["--x", "4"])))
p.parse_args(["--help"] if "help" in sys.argv else ["--x", "no"])
"""


@pytest.mark.parametrize(("word", "status"), [("help", 0), ("fail", 2)])
def test_a_watched_module_behaves_as_ever(tmp_path, word, status):
    path = script(tmp_path, WATCHED)
    plain, hooked = both(PYTHON, path, word, cwd=tmp_path, check=status)
    assert hooked == plain


def test_looking_for_a_module_is_not_importing_it():
    text = "import importlib.util as u, sys; print(u.find_spec('argparse').origin, 'argparse' in sys.modules)\nimport argparse"
    plain, hooked = both(PYTHON, "-c", text)
    assert hooked == plain


def test_others_who_look_through_all_finders_are_no_trouble():
    text = """
import importlib.util, sys
class Other:
    def find_spec(self, name, path=None, target=None):
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self else None
            if spec is not None:
                return spec
sys.meta_path.insert(0, Other())
import argparse
print(type(argparse.__loader__).__name__, hasattr(argparse.ArgumentParser.parse_known_args, "__wrapped__"))
"""
    plain, hooked = both(PYTHON, "-W", "error", "-b", "-c", text)
    assert (plain[0], hooked[0]) == ("SourceFileLoader False\n", "SourceFileLoader True\n")


# -- where it is, and where not --------------------------------------------------------------------------------------

PATH = "import os; from kleio.core.config import HOOK; print(os.environ.get('PYTHONPATH', '-').replace(HOOK, 'HOOK'))"


def test_the_hook_is_on_the_path_once(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert kleio(PYTHON, "-c", PATH, cwd=tmp_path, check=0).stdout == "HOOK\n"
    inner = f"{PYTHON} -m kleio -q {PYTHON} -c \"{PATH}\""
    assert kleio("sh", "-c", inner, cwd=tmp_path, check=0).stdout == "HOOK\n"
    assert kleio("sh", "-c", inner, cwd=tmp_path, check=0, PYTHONPATH="/a:/b").stdout == "HOOK:/a:/b\n"
    assert kleio("sh", "-c", inner.replace("-q", "--no-hook"), cwd=tmp_path, check=0).stdout == "-\n"
    monkeypatch.setenv("PYTHONPATH", "")
    assert kleio(PYTHON, "-c", PATH, cwd=tmp_path, check=0).stdout == "HOOK\n"
    assert kleio("--no-hook", PYTHON, "-c", PATH, cwd=tmp_path, check=0).stdout == "\n"
    recorded = [info(one["id"])["environment"]["variables"] for one in trials()]
    assert {one.get("PYTHONPATH") for one in recorded} == {None, "", "/a:/b"}


def test_it_can_be_left_away(tmp_path):
    for words, environment in ((("--no-hook",), {}), ((), {"KLEIO_NO_HOOK": "1"})):
        text = "import sys\nassert not any('kleio' in name for name in sys.modules if 'editable' not in name)\n1/0"
        launch(*words, PYTHON, script(tmp_path, text), cwd=tmp_path, **environment)
        assert exceptions() == []


def test_the_hook_is_in_what_is_installed():
    root = Path(package.__file__).parents[1]
    text = (root / "pyproject.toml").read_text()
    assert '"kleio.client" = ["site/sitecustomize.py"]' in text
    for init in root.glob("kleio/**/__init__.py"):
        assert f'"{".".join(init.parent.relative_to(root).parts)}"' in text.split("packages = ")[1].split("]")[0]


# -- what ended the script -------------------------------------------------------------------------------------------


def test_an_exception_is_recorded_with_those_that_led_to_it(tmp_path):
    text = """
def load():
    try:
        {}["data"]
    except KeyError as error:
        raise RuntimeError("no data for login(password='hunter2x')") from error
load()
"""
    plain = subprocess.run([PYTHON, script(tmp_path, text)], capture_output=True, text=True, cwd=tmp_path)
    done = run(tmp_path, text)
    assert done.stderr == plain.stderr
    (one,) = exceptions()
    assert (one["type"], one["message"]) == ("RuntimeError", "no data for login(password='<redacted>')")
    assert one["traceback"] == plain.stderr.replace("hunter2x", "<redacted>")
    assert one["script"] == str(tmp_path / "train.py")
    shown = printed("info", trials()[0]["id"])
    assert "exceptions\n  1  RuntimeError: no data for" in shown
    assert 'train.py", line 6, in load)' in shown
    assert "traceback" not in trials()[0]["executions"][0]["exceptions"][0]


def test_info_names_the_place_in_code_of_ones_own(tmp_path):
    run(tmp_path, "import json\ndef load():\n    return json.loads('{')\nload()\n")
    assert 'train.py", line 3, in load)' in printed("info", trials()[0]["id"])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x = = 1", "SyntaxError"),
        ("class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd", "Odd"),
        ("def f():\n    f()\nf()", "RecursionError"),
        ("import sys\nsys.excepthook = lambda *_: print('mine')\n1/0", "ZeroDivisionError"),
        ("import sys\nsys.excepthook = None\n1/0", "ZeroDivisionError"),
        ("import json\njson.loads('')", "json.decoder.JSONDecodeError"),
        ("raise ValueError('\\0\\udcff\\n' * 3)", "ValueError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class Stop(KeyboardInterrupt):\n    pass\nraise Stop", "Stop"),
        ("import sys\ndel sys.argv[:]\nimport os\nos.chdir('/')\n1/0", "ZeroDivisionError"),
    ],
)
def test_exceptions_of_all_kinds(tmp_path, text, kind):
    (tmp_path / "train.py").write_text(text)
    plain = subprocess.run([PYTHON, tmp_path / "train.py"], capture_output=True, cwd=tmp_path)
    done = subprocess.run([*KLEIO, "-q", PYTHON, tmp_path / "train.py"], capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert [one["type"] for one in exceptions()] == [kind]


# What a test runner does for a debugger to come: the exception is of a function elsewhere, and nothing ends.
CAUGHT = """
import sys, types
def f():
    try:
        1/0
    except Exception as e:
        sys.last_value = sys.last_exc = e
types.FunctionType(f.__code__, {"sys": sys, "__builtins__": __builtins__})()
sys.exit(3)
"""


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nsys.exit(3)",
        "import os\nos._exit(3)",
        "import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start()\nt.join()\nraise SystemExit(3)",
        "import atexit\natexit.register(lambda: 1/0)\nraise SystemExit(3)",
        CAUGHT,
    ],
)
def test_what_did_not_end_the_script_is_no_exception_of_it(tmp_path, text):
    run(tmp_path, text, check=3)
    assert exceptions() == []


@pytest.mark.parametrize("words", [("-c", "1/0"), ("-m", "train"), ("-m", "package"), (".",), ("-W", "ignore", "train.py")])
def test_however_the_program_is_named(tmp_path, words):
    (tmp_path / "package").mkdir()
    for name in ("train.py", "package/__main__.py", "__main__.py"):
        (tmp_path / name).write_text("1/0")
    launch(PYTHON, *words, cwd=tmp_path)
    assert [one["type"] for one in exceptions()] == ["ZeroDivisionError"]


def test_of_processes_that_the_script_starts_only_its_own_programs_tell(tmp_path):
    script(tmp_path, "1/0", "mine.py")
    (tmp_path / "site-packages").mkdir()
    script(tmp_path / "site-packages", "1/0", "tool.py")
    text = """
import multiprocessing, subprocess, sys
def work():
    raise ValueError("in a worker")
if __name__ == "__main__":
    for start in ("fork", "spawn"):
        worker = multiprocessing.get_context(start).Process(target=work)
        worker.start()
        worker.join()
    subprocess.run([sys.executable, "-m", "pip", "no such command"])
    subprocess.run([sys.executable, "-c", "1/0"])
    subprocess.run([sys.executable, "site-packages/tool.py"])
    subprocess.run([sys.executable, "mine.py"])
"""
    run(tmp_path, text, check=0)
    assert [(one["type"], one["script"]) for one in exceptions()] == [("ZeroDivisionError", "mine.py")]


def test_a_program_behind_a_shell_script(tmp_path):
    script(tmp_path, "1/0")
    launch("sh", "-c", f"cd .; {PYTHON} train.py; exit 4", cwd=tmp_path, check=4)
    assert [one["type"] for one in exceptions()] == ["ZeroDivisionError"]


def test_a_huge_message_is_cut_and_many_processes_do_not_fill_the_journal(tmp_path):
    token = "ghp_" + "aB3" * 12
    text = f"""
import os
for n in range(20):
    if os.fork() == 0:
        break
else:
    [os.wait() for n in range(20)]
raise ValueError('{token} ' * 2_000 if n else 'x' * 10_000_000)
"""
    done = subprocess.run([*KLEIO, "-q", PYTHON, script(tmp_path, text)], cwd=tmp_path, stderr=subprocess.DEVNULL)
    assert done.returncode == 1
    found = exceptions()
    assert len(found) == 16
    assert all(len(one["message"]) <= 16_100 and len(one["traceback"]) <= 32_000 for one in found)
    assert token[:20] not in json.dumps(found)


def test_where_ctrl_c_found_it(tmp_path):
    text = "import time\nprint('ready', flush=True)\nwhile True:\n    time.sleep(0.1)\n"  # it may come before it sleeps
    process = start(PYTHON, script(tmp_path, text), cwd=tmp_path)
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=600)
    assert [one["type"] for one in exceptions()] == ["KeyboardInterrupt"]
    assert trials()[0]["status"] == "suspended"


def test_exceptions_survive_the_launcher(tmp_path):
    """They wait in the spool, and the next kleio brings them."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start(PYTHON, script(tmp_path, f"open({str(fifo)!r}).read()\n1/0"), cwd=tmp_path)
    with open(fifo, "w"):
        process.kill()
        process.wait()
    process.stdout.close()
    process.stderr.close()

    def told():
        kleio("sync", cwd=tmp_path)
        return exceptions()

    assert [one["type"] for one in until(told)] == ["ZeroDivisionError"]

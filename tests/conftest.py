"""What all tests share: a home of their own, and a real mongod."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
from recorded import Recorded

from kleio.core import journal

# A busy machine is no failure: nothing here is asserted of time.
hypothesis.settings.register_profile("kleio", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("kleio")
pytest.register_assert_rewrite("journal_suite")

# A shell gives what it starts in the background these to ignore, and so would everything that a test starts; a handler, which
# does nothing, is not inherited. That of SIGINT is Python's own, to which nbclient sets it back.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else lambda *_: None)

# A hook of git, and whoever likes other settings of it than the usual ones, sets these for repositories that are not ours.
for name in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[name]

# A busy machine is slow, and stands still at times: what git did not say in time would be missing, what was not shipped in time
# would wait for the next kleio, and who was silent for too long would be taken for dead.
PATIENT = {"KLEIO_PATIENCE": "600", "KLEIO_DRAIN": "600", "KLEIO_LEASE": "600"}
HOME_VARIABLES = ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
TERMINAL_VARIABLES = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")  # of the one that the tests are started on


@pytest.fixture(autouse=True)
def _signals_are_left_alone():
    """What starts later would inherit them: a command that runs in this process gives back what it takes."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
    before = {number: signal.getsignal(number) for number in ending}, signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    assert ({number: signal.getsignal(number) for number in ending}, signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Tests never see or touch the user's journal, spool or settings."""
    for name in [name for name in os.environ if name.startswith("KLEIO_")]:
        monkeypatch.delenv(name)
    for name in (*HOME_VARIABLES, *TERMINAL_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("KLEIO_HOME", str(directory / "kleio"))
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    return directory / "kleio"


@pytest.fixture
def workplace(request, tmp_path, monkeypatch, home):
    """An empty working directory; the journal is the one that the test asks for, else a file."""
    if "journal_uri" in request.fixturenames:
        request.getfixturevalue("journal_uri")
    else:
        monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{home}/journal.db")
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


# The server dies with the process that started it, even of kill -9: PR_SET_PDEATHSIG, which execv keeps. A
# preexec_fn could do the same, but not in a process with threads.
GUARDED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class Mongod:
    """A server of the tests' own, on a free port, with nothing in it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.program = _mongod(directory)
        self.directory = directory
        self.options = options
        (directory / "data").mkdir()
        # A free port may be taken before the server binds it.
        if not any(self._start() for _ in range(5)):
            pytest.fail(f"mongod does not start:\n{self._log()[-2000:]}")

    def _start(self) -> bool:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        return self.restart()

    def restart(self) -> bool:
        """Start it, again on the same port and with the same data; whether it is ready."""
        from pymongo import MongoClient
        from pymongo.errors import ConnectionFailure

        command = [
            self.program, "--dbpath", str(self.directory / "data"), "--logpath", str(self.directory / "log"),
            "--bind_ip", "127.0.0.1", "--port", self.address.partition(":")[2], "--nounixsocket",
            "--wiredTigerCacheSizeGB", "0.5", "--setParameter", "diagnosticDataCollectionEnabled=false",
            "--setParameter", "enableTestCommands=1", *self.options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", GUARDED, str(os.getpid()), *command],
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the tests, which then stop it
        )
        while self.process.poll() is None:
            with contextlib.suppress(ConnectionFailure), MongoClient(
                f"mongodb://{self.address}/", serverSelectionTimeoutMS=500
            ) as client:
                client.admin.command("ping")
                return True
        return False

    def _log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / "log").read_text()
        return "(no log)"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def _mongod(directory: Path) -> str:
    """The program, found without importing the package that carries it, whose start-up would be its own server."""
    package = importlib.util.find_spec("fiftyone")
    for place in (package and package.submodule_search_locations) or ():
        program = Path(place) / "db" / "bin" / "mongod"
        if program.exists():
            if os.access(program, os.X_OK):
                return str(program)
            # The wheel does not mark it as a program, and the place may be read-only.
            copy = shutil.copy(program, directory / "mongod")
            os.chmod(copy, 0o755)
            return copy
    pytest.fail("no mongod: install the extra 'test', or set KLEIO_TEST_MONGODB=mongodb://HOST to one for tests")


@contextlib.contextmanager
def _server(*options):
    with tempfile.TemporaryDirectory(prefix="kleio-mongod-") as directory:
        server = Mongod(Path(directory), *options)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def mongod_uri():
    """The address of a real server, without a database: KLEIO_TEST_MONGODB, or one of our own."""
    if given := GIVEN_SERVER:
        yield given
        return
    with _server() as server:
        yield f"mongodb://{server.address}/"


GIVEN_SERVER = os.environ.get("KLEIO_TEST_MONGODB")  # before any test's home hides it


@pytest.fixture(scope="session")
def mongo_client(mongod_uri):
    """The tests' own connection to it, to look behind the journal."""
    from pymongo import MongoClient

    with MongoClient(patient(mongod_uri), w="majority", journal=True) as client:
        yield client


@pytest.fixture
def mongo_uri(mongod_uri, mongo_client, monkeypatch):
    """The address of a database that nobody has used, dropped afterwards. The server is only slow when it does not answer."""
    opened = journal._opened

    def patiently(uri, timeout, writing, upgrading):
        ours = uri.startswith(mongod_uri.rstrip("/"))
        return opened(uri, max(timeout, 60.0) if ours else timeout, writing, upgrading)

    monkeypatch.setattr(journal, "_opened", patiently)
    monkeypatch.setenv("KLEIO_TIMEOUT", "60")
    name = f"kleio_test_{uuid4().hex[:12]}"
    yield with_database(mongod_uri, name)
    mongo_client.drop_database(name)


def with_database(uri: str, name: str) -> str:
    scheme, _, rest = uri.partition("://")
    place, question, options = rest.partition("?")
    return patient(f"{scheme}://{place.partition('/')[0]}/{name}{question}{options}")


def patient(uri: str) -> str:
    """The address of a server that is only slow when it does not answer."""
    options = [one for one in ("serverSelectionTimeoutMS", "connectTimeoutMS") if one.lower() not in uri.lower()]
    return "&".join([uri + ("" if "?" in uri else "?"), *(f"{one}=120000" for one in options)]).replace("?&", "?")


@pytest.fixture(scope="session")
def mongod_with_users():
    """A server that asks for passwords, and a connection to it as its administrator."""
    from pymongo import MongoClient

    with _server("--auth") as server:
        with MongoClient(patient(f"mongodb://{server.address}/")) as first:  # nobody is there yet: one user may be made
            first.admin.command("createUser", "root", pwd="root", roles=["root"])
        with MongoClient(patient(f"mongodb://root:root@{server.address}/")) as client:
            yield server, client


@pytest.fixture(params=["sqlite", "mongo"])
def journal_uri(request, home, monkeypatch):
    """The journal that ``kleio`` uses in this test: one that nobody has used, of each kind."""
    uri = f"sqlite:///{home}/journal.db" if request.param == "sqlite" else request.getfixturevalue("mongo_uri")
    monkeypatch.setenv("KLEIO_JOURNAL", uri)
    return uri


@pytest.fixture
def records(journal_uri, workplace, tmp_path):
    """Trials of the project here, written without running anything, into either journal."""
    made = Recorded(journal_uri, tmp_path, str(workplace))
    yield made
    made.close()


@pytest.fixture
def local(workplace, tmp_path):
    """The same where it does not matter which journal it is."""
    made = Recorded(os.environ["KLEIO_JOURNAL"], tmp_path, str(workplace))
    yield made
    made.close()

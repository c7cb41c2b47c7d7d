"""Who may import whom, and who may print: the rules of CONTRIBUTING, held by reading the source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import kleio

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(kleio.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
NAMES = {path: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__") for path in FILES}
TREES = {NAMES[path]: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
MODULES = sorted(TREES)

MONGO = tuple(f"kleio.core.journal.{name}" for name in ("mongo", "mongo_blobs", "mongo_database"))

ONLY_IN = {
    "click": ("kleio.cli.",),
    "rich": ("kleio.cli.",),
    "pymongo": (*MONGO, "kleio.core.importing.sacred_database"),
    "bson": MONGO,
    "gridfs": ("kleio.core.journal.mongo_blobs", "kleio.core.importing.sacred_database"),
    "tensorboard": ("kleio.core.importing.tensorboard", "kleio.core.exports.tensorboard"),
    "mlflow": ("kleio.core.mlflow_client", "kleio.core.exports.mlflow"),
    "sacred": (),
    "sqlite3": ("kleio.core.journal.sqlite", "kleio.core.journal.sqlite_file"),
    "git": ("kleio.core.cloning",),
    "yaml": ("kleio.core.config_values",),
    "plotille": ("kleio.core.plotting.terminal",),
    "matplotlib": ("kleio.core.plotting.files", "kleio.client.figures"),
    "psutil": ("kleio.core.survivors", "kleio.core.sampling"),
}
"""Prefixes of the modules that may import a package, be it inside a function."""

COMMANDS = {
    "run", "exec", "branch", "repeat", "checkout", "ls", "info", "tree", "diff", "script", "cat", "tail", "status", "log",
    "sync", "config", "trace", "scrub", "db", "stats", "artifacts", "get", "import", "export", "plot", "top",
    "completion", "compare", "pdb",
}  # fmt: skip
PRINTERS = ("kleio.cli.main", *(name for name in MODULES if name.startswith("kleio.cli.render")))
NO_LAUNCHER = ("kleio.client.logger", "kleio.client.redirection", "kleio.client.reporting")
"""Scripts run without kleio too: there the logger prints what it cannot record. The second listens to what scripts print, the
third reports what nobody called a logger for."""


class _Imports(ast.NodeVisitor):
    """``found`` lists (module, line, at the top of the file); what only the type checker sees is left out."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.found: list[tuple[str, int, bool]] = []
        self._depth = 0

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(alias.name, node.lineno, not self._depth) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert not node.level, f"{self.module}:{node.lineno}: a relative import"
        assert node.module
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            self.found.append((inner if inner in TREES else node.module, node.lineno, not self._depth))


def _imports(module: str) -> list[tuple[str, int, bool]]:
    visitor = _Imports(module)
    visitor.visit(TREES[module])
    return visitor.found


def _all_imports() -> Iterator[tuple[str, str, str]]:
    """(module, what it imports, both in words with the line)."""
    for module in MODULES:
        for name, line, _ in _imports(module):
            yield module, name, f"{module}:{line} imports {name}"


def test_imports_run_one_way():
    for module, name, where in _all_imports():
        if module.startswith("kleio.core"):
            assert not f"{name}.".startswith(("kleio.cli.", "kleio.client.")), where
        if module.startswith("kleio.client"):
            assert not f"{name}.".startswith("kleio.cli."), where


def test_a_client_loads_only_the_spool_with_itself():
    own = {name for name in MODULES if name.startswith("kleio.client")}
    light = {"kleio.core.spool", "kleio.core.errors", "kleio.core.descriptors"}
    assert own
    for module in own:
        at_once = {name for name, _, top in _imports(module) if top and name.startswith("kleio.")}
        assert at_once <= light | own, module


def test_no_command_imports_another():
    commands = {f"kleio.cli.{name}{end}" for name in COMMANDS for end in ("", "_")}
    for module, name, where in _all_imports():
        assert module not in commands or name not in commands - {module}, where


def test_third_parties_stay_where_they_belong():
    for module, name, where in _all_imports():
        allowed = ONLY_IN.get(name.partition(".")[0])
        assert allowed is None or module.startswith(allowed), where


def test_one_place_prints_and_one_place_exits():
    for module in MODULES:
        for node in ast.walk(TREES[module]):
            where = f"{module}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "quit") or module in PRINTERS, where
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                assert called != "sys.exit" or module == "kleio.cli.main", where
                if called in ("sys.stdout", "sys.stderr"):
                    assert module in (*PRINTERS, *NO_LAUNCHER), where
            if isinstance(node, ast.Name) and node.id == "SystemExit":  # an experiment looks whether its script exits
                assert module in ("kleio.cli.main", "kleio.client.endings"), where


def test_there_are_no_cycles():
    """Not even with the imports inside functions: a cycle hidden there is still one."""
    edges = {module: {name for name, _, _ in _imports(module) if name in TREES} - {module} for module in MODULES}
    done: set[str] = set()

    def follow(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(edges[module]):
                follow(name, (*path, module))
            done.add(module)

    for module in MODULES:
        follow(module, ())


def test_every_command_of_the_table_has_its_module():
    from kleio.cli.commands import COMMANDS as TABLE
    from kleio.cli.commands import place_of

    assert set(TABLE) == COMMANDS
    assert {place_of(name)[0] for name in TABLE} <= set(TREES)

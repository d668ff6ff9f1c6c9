"""The shape of the package: which way imports point, what is public, how large things are, what starts fast."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import earcli

PACKAGE = Path(earcli.__file__).parent

# a room may import the rooms below it, and itself
LAYERS = (
    ("cli",),
    ("tasks",),
    ("benchmarks",),
    ("training",),
    ("analysis", "curation", "exporting"),
    ("reporting",),
    ("checkpoints",),
    ("models", "losses", "metrics", "data", "synthetic"),
    ("config",),
    ("files", "untrusted", "randomness"),
    ("errors", "__init__"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
UPWARD = {("models/vae.py", "checkpoints"), ("models/detector.py", "checkpoints")}
"""Imports inside functions that point up: `EarVAE.load_from_checkpoint` delegates to `Checkpoint`."""
SIDEWAYS = {("losses", "models"), ("models", "losses"), ("models", "data"), ("metrics", "models"), ("data", "models")}
"""Rooms of one level that must not know each other."""
ONLY_IN = {
    "typer": {"cli"},
    "click": {"cli"},
    "pytorch_lightning": {"training"},
    "lightning_fabric": {"training"},
    "rich": {"cli", "reporting"},
}
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
MOST_LINES = 250
UNTESTED_LINES = 40
TESTS = Path(__file__).parent
MOST_COMMAND_LINES = 60
MOST_FUNCTION_LINES = 60
COMMANDS = [
    "prepare",
    "check",
    "train",
    "resume",
    "finetune",
    "predict",
    "compare-init",
    "evaluate",
    "eigenears",
    "export",
    "embed",
    "search",
    "synth",
    "selftest",
    "bench-data",
    "bench-infer",
    "bench-train",
]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> set[str]:
    """Everything that a file imports: `earcli.ROOM` for our own, the top-level package for others."""
    found = set()
    for node in ast.walk(tree_of(path)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"earcli.{a.name}" for a in node.names] if node.module == "earcli" else [node.module]
        for name in names:
            first, *rest = name.split(".")
            room = rest[0] if rest and rest[0] in LEVEL else "__init__"
            found.add(f"earcli.{room}" if first == "earcli" else first)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    room = name.split("/")[0].removesuffix(".py")
    imported = imports_of(path)
    for other in sorted(imported):
        target = other.removeprefix("earcli.")
        if other.startswith("earcli.") and room != "__init__" and (name, target) not in UPWARD:
            assert LEVEL[target] >= LEVEL[room], f"{name} imports {target}"
            assert (room, target) not in SIDEWAYS, f"{name} imports {target}"
        assert room in ONLY_IN.get(other, {room}), f"{name} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_only_the_command_line_prints_and_exits(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] == "cli":
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "exit", "quit", "sys.exit", "os._exit"), f"line {node.lineno}: {called}"
        assert not (isinstance(node, ast.Name) and node.id == "SystemExit"), f"line {node.lineno}"


def test_every_module_has_its_test_at_the_mirrored_place() -> None:
    for path in FILES:
        name = path.relative_to(PACKAGE)
        if path.name != "__init__.py" and len(path.read_text(encoding="utf-8").splitlines()) > UNTESTED_LINES:
            assert (TESTS / name.parent / f"test_{name.name}").is_file(), f"{name} has no test"


def test_files_and_functions_are_short() -> None:
    lengths = []
    for path in FILES:
        name = path.relative_to(PACKAGE).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{name} has {lines} lines"
        if name.startswith("cli/") and name != "cli/app.py":
            assert lines <= MOST_COMMAND_LINES, f"{name} has {lines} lines"
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1 - docstring_lines(node)  # type: ignore[operator]
                assert length <= MOST_FUNCTION_LINES, f"{name}: {node.name} has {length} lines"
                lengths.append(length)
    assert sum(length <= 30 for length in lengths) >= 0.9 * len(lengths)


def docstring_lines(node: ast.FunctionDef) -> int:
    return len(ast.get_docstring(node, clean=False).splitlines()) if ast.get_docstring(node) else 0  # type: ignore[union-attr]


def test_the_public_surface() -> None:
    tasks = {name.replace("-", "_") for name in COMMANDS}
    classes = {"Checkpoint", "ConsoleReporter", "EarDetector", "EarError", "EarVAE", "InterruptedTraining"}
    assert set(earcli.__all__) == tasks | classes | {"__version__"}
    assert set(dir(earcli)) == set(earcli.__all__)
    for name in earcli.__all__:
        assert getattr(earcli, name) is not None
    with pytest.raises(AttributeError):
        _ = earcli.nothing


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_neither_torch_nor_numpy(command: str) -> None:
    arguments = [*command.replace("bench-", "bench ").split(), "--help"]
    code = (
        "import sys; from earcli.cli.app import app; "
        f"app({arguments!r}, standalone_mode=False); "
        "print(sorted({'torch', 'numpy', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"

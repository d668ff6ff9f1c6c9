"""The shape of the package: which way imports point, what is public, what starts fast."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import earcli

PACKAGE = Path(earcli.__file__).parent

# a part may import the parts to the right of it, and itself
LAYERS = (
    ("cli",),
    ("tasks",),
    ("benchmarks",),
    ("training",),
    ("analysis", "curation", "exporting"),
    ("reporting",),
    ("checkpoints", "models", "losses", "metrics", "data", "synthetic"),
    ("config",),
    ("files", "untrusted", "randomness"),
    ("errors", "__init__"),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def imports_of(path: Path) -> set[str]:
    """Everything that a file imports: `earcli.PART` for our own, the top-level package for others."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"earcli.{a.name}" for a in node.names] if node.module == "earcli" else [node.module]
        for name in names:
            first, *rest = name.split(".")
            part = rest[0] if rest and rest[0] in LEVEL else "__init__"
            found.add(f"earcli.{part}" if first == "earcli" else first)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    imported = imports_of(path)
    if part != "__init__":
        for name in imported:
            if name.startswith("earcli."):
                assert LEVEL[name.removeprefix("earcli.")] >= LEVEL[part], name
    if part == "models":
        assert "earcli.losses" not in imported
    if part == "losses":
        assert "earcli.models" not in imported
    if part not in ("training", "benchmarks"):
        assert "pytorch_lightning" not in imported
    if part not in ("cli", "tasks"):
        assert "typer" not in imported


def test_the_public_surface() -> None:
    assert earcli.__all__ == ["EarDetector", "EarVAE", "__version__"]
    assert earcli.EarVAE.__name__ == "EarVAE"
    assert earcli.EarDetector.__name__ == "EarDetector"
    with pytest.raises(AttributeError):
        _ = earcli.nothing


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["train"],
        ["resume"],
        ["synth"],
        ["prepare"],
        ["check"],
        ["finetune"],
        ["predict"],
        ["compare-init"],
        ["evaluate"],
        ["eigenears"],
        ["export"],
        ["embed"],
        ["search"],
        ["selftest"],
        ["bench", "data"],
        ["bench", "infer"],
        ["bench", "train"],
    ],
)
def test_help_imports_neither_torch_nor_numpy(command: list[str]) -> None:
    code = (
        "import sys; from earcli.cli.app import app; "
        f"app({[*command, '--help']!r}, standalone_mode=False); "
        "print(sorted({'torch', 'numpy', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"

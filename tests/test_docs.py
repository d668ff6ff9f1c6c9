"""The documentation names only commands and flags that exist, and links that lead somewhere."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from running import ear

from earcli.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
GROUP = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# "bench infer" beside "train": a group's own commands have its name before theirs
COMMANDS = {
    **{name: command for name, command in GROUP.items() if not hasattr(command, "commands")},
    **{f"{g} {name}": c for g, group in GROUP.items() for name, c in getattr(group, "commands", {}).items()},
}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_flags_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, rest in re.findall(r"(?:`|\$ )ear (bench [a-z]+|[a-z][a-z-]*)([^`\n#]*)", text):
        assert name in COMMANDS, f"ear {name}"
        known = {flag for p in COMMANDS[name].params for flag in (*p.opts, *p.secondary_opts)}
        assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known | {"--help"}, f"ear {name}{rest}"
    parameters = [p for command in COMMANDS.values() for p in command.params]
    every = {flag for p in parameters for flag in (*p.opts, *p.secondary_opts)} | {"--help", "--logdir"}
    assert set(re.findall(r"`(--[a-z][a-z-]*)", text)) <= every


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_map_of_the_architecture_has_one_true_line_for_each_module() -> None:
    rooms = re.split(
        r"(?m)^\*\*(?:`(\w+)/`|Top level)\*\*$", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    )[1:]
    listed = {}
    for room, text in zip(rooms[::2], rooms[1::2], strict=True):
        for name, line in re.findall(r"(?m)^- `([\w/]+)`: (.+(?:\n  .+)*)", text):
            listed[f"{room}/{name}.py" if room else f"{name}.py"] = " ".join(line.split())
    package = ROOT / "earcli"
    for path in (path for path in package.rglob("*.py") if path.name != "__init__.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        name = path.relative_to(package).as_posix()
        assert listed.pop(name, None) == docstring.partition("\n")[0], name
    assert not listed


def test_make_has_the_targets_that_the_readme_names() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, re.M), target


SMALLER = {
    "train": "--epochs 1 --limit-train 32 --limit-val 4 --batch-size 8",
    "finetune": "--epochs 1 --epoch-steps 2 --batch-size 4",
}
"""What makes a command of the guide take seconds."""


@pytest.mark.slow
def test_the_transfer_guide_runs_as_written(
    ears: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "transfer.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ears / "images", tmp_path / "raw")
    shutil.copytree(ears, tmp_path / "labeled", ignore=shutil.ignore_patterns("*_teacher.npy", "factors.csv"))
    (tmp_path / "photos").mkdir()
    shutil.copy(ears / "images" / "ear_00000.jpg", tmp_path / "photos")
    shutil.copy(teacher, tmp_path / "teacher.ckpt")
    commands = re.findall(r"^\$ ear (.*?)(?:  +#.*)?$", text, re.M)
    assert [line.split()[0] for line in commands] == [
        "prepare", "train", "prepare", "finetune", "evaluate", "predict", "export",
    ]  # fmt: skip
    for line in commands:
        result = ear(*shlex.split(f"{line} {SMALLER.get(line.split()[0], '')}"))
        assert result.exit_code == 0, f"ear {line}\n{result.output}"
    assert {p.name for p in (tmp_path / "predictions").iterdir()} == {"pictures", "predictions.csv", "predictions.json"}
    assert (tmp_path / "detector.onnx").is_file()
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(code, {})

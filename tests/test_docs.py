"""The documentation names only commands and flags that exist, and links that lead somewhere."""

import re
from pathlib import Path

import pytest
import typer

from earcli.cli import app

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
    for name, rest in re.findall(r"(?:`|\$ )ear (bench [a-z]+|[a-z]+)([^`\n#]*)", text):
        assert name in COMMANDS, f"ear {name}"
        known = {flag for parameter in COMMANDS[name].params for flag in parameter.opts}
        assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known | {"--help"}, f"ear {name}{rest}"
    every = {flag for command in COMMANDS.values() for p in command.params for flag in p.opts} | {"--help", "--logdir"}
    assert set(re.findall(r"`(--[a-z][a-z-]*)", text)) <= every


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_make_has_the_targets_that_the_readme_names() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, re.M), target

"""Running `ear` in this process, and what a failure must look like."""

import os
import re
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from earcli.cli.app import app

HELPERS = Path(__file__).parent
ROOT = HELPERS.parents[1]
EAR = Path(sys.executable).with_name("ear")
"""The installed command, to run it in a process of its own."""
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither such names nor such files")
APP = typer.main.get_command(app)


def ear(*arguments: object) -> Result:
    """Runs a command; no error message may name a flag that its command does not have."""
    words = [str(a) for a in arguments]
    result = CliRunner().invoke(app, words)
    if result.exit_code == 1:
        check_flags(words, result.stderr)
    return result


def check_flags(words: list[str], message: str) -> None:
    """Every flag in an error message is one of the command that ran, or of the `ear` command named before it."""
    own = flags_of(words)
    for name, rest in re.findall(r"(\bear (?:bench )?[a-z-]+)?((?:(?!\bear [a-z]).)*)", message):
        known = flags_of(name.split()[1:]) if name else own
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest))
        assert named <= known | own, f"{sorted(named - known - own)} in: {message}"


def flags_of(words: list[str]) -> set[str]:
    command = APP
    for word in words[:2]:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]  # type: ignore[attr-defined]
    return {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}


def fails(result: Result, *parts: str) -> None:
    """One line on standard error, exit code 1, no traceback."""
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr, result.stderr


def manifests(ears: Path) -> list[str]:
    return ["--train-manifest", str(ears / "train_teacher.npy"), "--val-manifest", str(ears / "val_teacher.npy")]

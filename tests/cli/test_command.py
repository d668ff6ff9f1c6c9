"""Tests of `earcli/cli/command.py`."""

import json
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console
from typer.testing import CliRunner

from earcli.cli.command import command
from earcli.config.fields import at_least, require
from earcli.reporting.console import print_line
from earcli.reporting.reporter import SILENT, Reporter


@dataclass(frozen=True)
class Sum:
    value: int

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value}


def add(numbers: tuple[int, ...] = (1, 2), *, start_value: int = 0, reporter: Reporter = SILENT) -> Sum:
    """Add numbers to `start_value`.

    Args:
        numbers: The numbers.
        start_value: The first.
    """
    require(at_least(0), start_value=start_value)
    reporter.note("adding")
    return Sum(start_value + sum(numbers))


def app() -> typer.Typer:
    program = typer.Typer()

    @program.command()
    @command(add)
    def show(console: Console, result: Sum, *, twice: bool = False) -> None:
        print_line(f"sum {result.value * (1 + twice)}", console)

    return program


def run(*words: str) -> Any:
    return CliRunner().invoke(app(), words)


def test_a_command_parses_calls_and_shows() -> None:
    assert run("--start-value", "4").stdout.splitlines() == ["adding", "sum 7"]
    assert run("--twice").stdout.splitlines()[-1] == "sum 6"
    assert "Add numbers to --start-value." in run("--help").stdout


def test_json_is_all_of_stdout() -> None:
    result = run("--json")
    assert json.loads(result.stdout) == {"value": 3}
    assert result.stderr.splitlines() == ["adding", "sum 3"]


def test_an_error_is_one_line_that_names_the_flag() -> None:
    result = run("--start-value", "-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == ["error: --start-value must be 0 or more, got -1."]
    assert isinstance(run("--start-value", "-1", "--debug").exception, Exception)

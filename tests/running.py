"""Running `ear` in this process, and what a failure must look like."""

from typer.testing import CliRunner, Result

from earcli.cli.app import app


def ear(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fails(result: Result, *parts: str) -> None:
    """One line on standard error, exit code 1, no traceback."""
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr

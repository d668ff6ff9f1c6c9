"""The parameters that all commands have."""

import inspect

import typer

from earcli.cli.typer_types import parameter

CONTEXT = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
DEBUG = typer.Option("--debug", help="Show the traceback of an error.")
AS_JSON = typer.Option("--json", help="Print the result as JSON; everything else goes to stderr.")


def switches(as_json: bool) -> list[inspect.Parameter]:
    """`--debug` and, for commands that have it, `--json`."""
    return [parameter("debug", False, bool, DEBUG), *([parameter("as_json", False, bool, AS_JSON)] if as_json else [])]


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether the user gives an option, so that its value is more than the default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"

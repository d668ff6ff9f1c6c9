"""The `ear` command: one sub-command per task."""

import os
import sys
from importlib import import_module
from shutil import get_terminal_size
from typing import Annotated, Literal

import typer

from earcli import __version__
from earcli.cli.messages import show_error
from earcli.cli.streams import reopen_closed_streams, resilient_stream
from earcli.errors import EarError

COMMANDS = (
    "prepare", "check", "train", "resume", "finetune", "predict", "compare_init", "evaluate", "eigenears", "export",
    "embed", "search", "synth", "selftest", "bench_train", "bench_data", "bench_infer",
)  # fmt: skip
"""The modules of this package that hold a command each, in the order in which `ear --help` lists them."""

# Typer's boxes cut off the names of options in a narrow terminal
COLUMNS = get_terminal_size().columns
MARKUP: Literal["rich"] | None = "rich" if COLUMNS >= 60 else None

app = typer.Typer(
    name="ear",
    rich_markup_mode=MARKUP,
    context_settings={"terminal_width": None if MARKUP else max(COLUMNS - 1, 20)},
    help="Learn the anatomy of the human ear from unlabeled pictures and transfer it to other models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench = typer.Typer(name="bench", help="Measure speed and memory on this machine.", no_args_is_help=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ear {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


for _name in COMMANDS:
    _command = getattr(import_module(f"earcli.cli.{_name}"), _name)
    if _name.startswith("bench_"):
        bench.command(_name.removeprefix("bench_"))(_command)
    else:
        app.command(_name.replace("_", "-"))(_command)
app.add_typer(bench)


def main() -> None:
    """The entry point."""
    if os.environ.get("COLUMNS") == "0":  # rich would print nothing at all
        del os.environ["COLUMNS"]
    reopen_closed_streams()
    sys.stdout, sys.stderr = resilient_stream(sys.stdout), resilient_stream(sys.stderr)
    try:
        app()
    except EarError as error:  # what the app itself prints, such as --help, could not be written
        show_error(error)
        sys.exit(1)

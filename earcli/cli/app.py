"""The `ear` command: registers the sub-commands and turns an EarError into one red line and exit code 1."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from shutil import get_terminal_size
from typing import Annotated, Any, Literal

import typer

from earcli import __version__
from earcli.cli import (
    bench_data,
    bench_infer,
    bench_train,
    check,
    compare_init,
    eigenears,
    embed,
    evaluate,
    export,
    finetune,
    predict,
    prepare,
    resume,
    search,
    selftest,
    synth,
    train,
)
from earcli.cli.bench import bench
from earcli.cli.preflight import check_environment
from earcli.cli.streams import reopen_closed_streams, resilient_stream
from earcli.errors import EarError, RunError, is_out_of_memory
from earcli.startup import STARTED

# Typer's boxes cut off the names of options where there is little room
COLUMNS = get_terminal_size().columns
MARKUP: Literal["rich"] | None = "rich" if COLUMNS >= 60 else None

app = typer.Typer(
    name="ear",
    rich_markup_mode=MARKUP,
    context_settings={"terminal_width": None if MARKUP else max(COLUMNS - 1, 20)},
    help="Learns the anatomy of the human ear from unlabeled pictures and hands it to other models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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


def _show(error: EarError) -> None:
    from earcli.reporting.console import show_error

    show_error(str(error))


def _register(command: Callable[..., None], parent: typer.Typer = app) -> None:
    """Adds a sub-command, with --debug, behind the one place where errors end."""
    signature = inspect.signature(command)
    option = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and what the start took.")]
    debug = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)

    @functools.wraps(command)
    def guarded(*args: Any, debug: bool, **kwargs: Any) -> None:
        if debug:
            from earcli.reporting.console import showing_start

            with showing_start(STARTED):
                command(*args, **kwargs)
            return
        try:
            check_environment()
            command(*args, **kwargs)
        except EarError as error:
            if str(error):  # else another process of the same run says it
                _show(error)
            raise typer.Exit(1) from None
        except (MemoryError, RuntimeError, ImportError) as error:
            if not is_out_of_memory(error):
                raise
            _show(RunError("Memory ran out. Give a smaller --batch-size or --image-size, or end other programs."))
            raise typer.Exit(1) from None

    guarded.__signature__ = signature.replace(parameters=[*signature.parameters.values(), debug])  # type: ignore[attr-defined]
    guarded.__annotations__ = {**command.__annotations__, "debug": option}
    parent.command(command.__name__.replace("_", "-"))(guarded)


for _command in (
    prepare.prepare,
    check.check,
    train.train,
    resume.resume,
    finetune.finetune,
    predict.predict,
    compare_init.compare_init,
    evaluate.evaluate,
    eigenears.eigenears,
    export.export,
    embed.embed,
    search.search,
    synth.synth,
    selftest.selftest,
):
    _register(_command)
_register(bench_train.train, bench)
_register(bench_data.data, bench)
_register(bench_infer.infer, bench)
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
        _show(error)
        sys.exit(1)

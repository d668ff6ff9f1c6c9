"""From a task and a function that shows its result to a Typer command."""

import functools
import inspect
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import typer

from earcli.cli.derive import flags_of, knob_options, summary_of, task_options, with_flags
from earcli.cli.preflight import check_environment
from earcli.config.fields import Knobs
from earcli.errors import EarError, InterruptedTraining, RunError, is_out_of_memory

Show = Callable[..., None]
Call = Callable[..., Any]
DEBUG = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
AS_JSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON; everything else goes to stderr.")]


def command(
    task: Callable[..., Any],
    *,
    arguments: Sequence[str] = (),
    short: Mapping[str, Sequence[str]] | None = None,
    knobs: Sequence[type[Knobs]] = (),
    resumable_only: bool = False,
    call: Call | None = None,
    as_json: bool = True,
) -> Callable[[Show], Callable[..., None]]:
    """Makes a command of the function that shows a task's result.

    The command has an option for each parameter of the task, for each knob, and for each keyword-only parameter of
    `show`, which is called as `show(console, result, **options)`.

    Args:
        arguments, short: See `task_options`.
        knobs, resumable_only: See `knob_options`; the knobs that were given are passed to the task as keywords.
        call: Called as `call(values, options, reporter=...)` in place of the task; returns its result, or None to show
            nothing.
        as_json: Whether the command has `--json`, which prints `result.to_dict()`.
    """

    def decorate(show: Show) -> Callable[..., None]:
        own = task_options(task, arguments, short or {})
        flat = knob_options(knobs, resumable_only)
        extra = [p for p in inspect.signature(show).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        common = [_flag_parameter("debug", DEBUG), *([_flag_parameter("as_json", AS_JSON)] if as_json else [])]
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context, *own, *extra, *flat, *common]
        flags = flags_of((p.name for p in parameters), short or {})

        @functools.wraps(show)
        def run(ctx: typer.Context, *, debug: bool, as_json: bool = False, **values: Any) -> None:
            for name in (p.name for p in flat):
                value = values.pop(name)
                if _given(ctx, name):
                    values[name] = value
            options = {p.name: values.pop(p.name) for p in extra}
            work = functools.partial(call, values, options) if call else functools.partial(task, **values)
            guarded(lambda: _run(work, show, as_json, options), debug, flags)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__ = with_flags(summary_of(task), flags)
        return run

    return decorate


def _flag_parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


def _given(ctx: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _run(work: Callable[..., Any], show: Show, as_json: bool, options: Mapping[str, Any]) -> None:
    """Runs a task under a progress bar, then shows or prints its result."""
    from earcli.reporting.console import ConsoleReporter, open_console

    console = open_console(stderr=as_json)
    with ConsoleReporter(console) as reporter:
        result = work(reporter=reporter)
    if result is None or console.quiet:
        return  # of several processes that train together, the first one speaks
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2, allow_nan=False))
    show(console, result, **options)


def guarded(work: Callable[[], None], debug: bool, flags: Mapping[str, str]) -> None:
    """The one place where errors end: one red line, and an exit code."""
    if debug:
        work()
        return
    try:
        check_environment()
        work()
    except InterruptedTraining as stopped:
        show_stop(stopped)
        raise typer.Exit(128 + stopped.signal_number) from None
    except EarError as error:
        show_error(error, flags)
        raise typer.Exit(1) from None
    except (MemoryError, RuntimeError, ImportError) as error:
        if not is_out_of_memory(error):
            raise
        show_error(RunError("Memory ran out. Use a smaller batch or image, or close other programs."), flags)
        raise typer.Exit(1) from None


def show_error(error: EarError, flags: Mapping[str, str] = MappingProxyType({})) -> None:
    """One red line on standard error; nothing for an error that another process of the same run reports."""
    from earcli.reporting.console import print_error

    if str(error):
        print_error(with_flags(str(error), flags))


def show_stop(stopped: InterruptedTraining) -> None:
    """One line on how a stopped run continues."""
    from earcli.reporting.console import is_main_process, print_line

    if is_main_process():
        resume = f"; continue with: {shlex.join(['ear', 'resume', str(stopped.last)])}" if stopped.last else ""
        print_line(f"stopped{resume}")

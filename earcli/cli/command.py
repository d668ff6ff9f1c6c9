"""Builds a Typer command from a task and a function that shows the task's result."""

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
    """Turns the function that shows a task's result into a command.

    The command has an option for each parameter of the task, for each knob, and for each keyword-only parameter of
    `show`, which is called as `show(console, result, **options)`.

    Args:
        task: The function that does the work and returns the result.
        arguments, short: See `task_options`.
        knobs, resumable_only: See `knob_options`; only knobs that the user gives are passed to the task, as keywords.
        call: Called as `call(values, options, reporter=...)` in place of the task; returns the result, or None to show
            nothing.
        as_json: Whether the command has `--json`, which prints `result.to_dict()`.
    """

    def decorate(show: Show) -> Callable[..., None]:
        of_task = task_options(task, arguments, short or {})
        of_knobs = knob_options(knobs, resumable_only)
        of_show = [p for p in inspect.signature(show).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        of_all = [_switch("debug", DEBUG), *([_switch("as_json", AS_JSON)] if as_json else [])]
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context, *of_task, *of_show, *of_knobs, *of_all]
        flags = flags_of((p.name for p in parameters), short or {})

        @functools.wraps(show)
        def run(ctx: typer.Context, *, debug: bool, as_json: bool = False, **values: Any) -> None:
            omitted = {p.name for p in of_knobs if not _is_given(ctx, p.name)}
            values = {name: value for name, value in values.items() if name not in omitted}
            options = {p.name: values.pop(p.name) for p in of_show}
            work = functools.partial(call, values, options) if call else functools.partial(task, **values)
            guarded(lambda: _run(work, show, as_json, options, flags), debug, flags)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__ = with_flags(summary_of(task), flags)
        return run

    return decorate


def _switch(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


def _is_given(ctx: typer.Context, name: str) -> bool:
    """Whether the user gives an option, so that its value is more than the default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _run(work: Call, show: Show, as_json: bool, options: Mapping[str, Any], flags: Mapping[str, str]) -> None:
    """Runs a task under a progress bar, then prints and shows its result."""
    from earcli.reporting.console import ConsoleReporter, open_console

    console = open_console(stderr=as_json)
    with ConsoleReporter(console, lambda text: with_flags(text, flags)) as reporter:
        result = work(reporter=reporter)
    if result is None or console.quiet:
        return
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2, allow_nan=False))
    show(console, result, **options)


def guarded(work: Callable[[], None], debug: bool, flags: Mapping[str, str]) -> None:
    """Runs `work` and turns errors into one red line and an exit code; this is the only place that does.

    Args:
        work: The task and the output of its result.
        debug: Lets errors pass, for their tracebacks.
        flags: The flag of each parameter of the command, for error messages.
    """
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
    """Prints one red line on standard error; nothing for an error that another process of the run reports."""
    from earcli.reporting.console import print_error

    if str(error):
        print_error(with_flags(str(error), flags))


def show_stop(stopped: InterruptedTraining) -> None:
    """Prints one line: how to continue a run that a signal stopped."""
    from earcli.reporting.console import is_main_process, print_line

    if is_main_process():
        resume = f"; continue with: {shlex.join(['ear', 'resume', str(stopped.last)])}" if stopped.last else ""
        print_line(f"stopped{resume}")

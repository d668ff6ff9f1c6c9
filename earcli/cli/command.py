"""Builds a Typer command from a task and a function that shows the task's result."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from earcli.cli.docstrings import summary_of
from earcli.cli.flags import flags_of, with_flags
from earcli.cli.guard import guarded
from earcli.cli.knob_options import knob_options
from earcli.cli.presentation import Call, Show, run_and_show
from earcli.cli.switches import CONTEXT, is_given, switches
from earcli.cli.task_options import task_options
from earcli.cli.typer_types import with_signature
from earcli.config.fields import Knobs


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

    It has an option for each parameter of the task, each knob, and each keyword-only parameter of `show`.

    Args:
        task, arguments, short: See `task_options`.
        knobs, resumable_only: See `knob_options`; only knobs that the user gives are passed to the task, as keywords.
        call: Called as `call(values, options, reporter=...)` in place of the task; returns the result, or None to show
            nothing.
        as_json: Whether the command has `--json`, which prints `result.to_dict()`.
    """

    def decorate(show: Show) -> Callable[..., None]:
        of_task = task_options(task, arguments, short or {})
        of_knobs = knob_options(knobs, resumable_only)
        of_show = [p for p in inspect.signature(show).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        parameters = [CONTEXT, *of_task, *of_show, *of_knobs, *switches(as_json)]
        flags = flags_of((p.name for p in parameters), short or {})

        @functools.wraps(show)
        def run(ctx: typer.Context, *, debug: bool, as_json: bool = False, **values: Any) -> None:
            omitted = {p.name for p in of_knobs if not is_given(ctx, p.name)}
            values = {name: value for name, value in values.items() if name not in omitted}
            options = {p.name: values.pop(p.name) for p in of_show}
            work = functools.partial(call, values, options) if call else functools.partial(task, **values)
            guarded(lambda: run_and_show(work, show, as_json, options, flags), debug, flags)

        return with_signature(run, parameters, with_flags(summary_of(task), flags))

    return decorate

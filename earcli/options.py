"""Turns the knobs of a configuration into Typer options, so that no flag is written twice."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from earcli.config import GROUPS, TrainConfig, flag

Command = Callable[..., None]


def with_knobs(*, resumable_only: bool = False) -> Callable[[Command], Command]:
    """Adds the knobs of `TrainConfig` to a command, which receives those that were given as the dict `knobs`.

    The command's first parameter must be `ctx: typer.Context`.
    """
    hints = get_type_hints(TrainConfig)
    every = [(f, group.__doc__) for group in GROUPS for f in fields(group)]
    chosen = [(f, panel) for f, panel in every if f.metadata["resumable"] or not resumable_only]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.name != "knobs"]
        options = [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=f.default,
                annotation=Annotated[
                    hints[f.name],
                    typer.Option(flag(f.name), help=f.metadata["help"], rich_help_panel=panel),
                ],
            )
            for f, panel in chosen
        ]

        @functools.wraps(command)
        def wrapper(ctx: typer.Context, **values: Any) -> None:
            given = {}
            for f, _ in chosen:
                value = values.pop(f.name)
                source = ctx.get_parameter_source(f.name)
                if source is not None and source.name == "COMMANDLINE":
                    given[f.name] = value
            command(ctx, **values, knobs=given)

        extended = signature.replace(parameters=[*own, *options])
        wrapper.__signature__ = extended  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in extended.parameters.values()}
        return wrapper

    return decorate

"""Typer options from the knobs of configurations."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from earcli.cli.flags import flags_of, with_flags
from earcli.cli.typer_types import parameter
from earcli.config.fields import Knobs
from earcli.config.signature import knobs_of


def knob_options(kinds: Sequence[type[Knobs]], resumable_only: bool) -> list[inspect.Parameter]:
    """Typer options for the knobs of configurations; see `knobs_of`.

    With `resumable_only` no defaults are shown: they come from the checkpoint.
    """
    knobs = knobs_of(*kinds, resumable_only=resumable_only)
    flags = flags_of(knobs, {})
    result = []
    for name, info in knobs.items():
        # a switch that need not be off by default also has a flag that turns it off
        both = info.type == bool | None or (info.type is bool and resumable_only)
        words: Mapping[str, int] = info.field.metadata["words"]
        former = info.field.metadata["former"]
        option = typer.Option(
            f"{flags[name]}/--no-{flags[name].removeprefix('--')}" if both else flags[name],
            *([f"--{former.replace('_', '-')}"] if former else []),
            help=with_flags(info.field.metadata["help"], flags),
            rich_help_panel=info.group,
            parser=_number_or(words) if words else None,
            metavar="|".join(["INTEGER", *words]) if words else None,
            show_default=not resumable_only,
        )
        result.append(parameter(name, info.field.default, info.type, option))
    return result


def _number_or(words: Mapping[str, int]) -> Callable[[Any], int]:
    """A parser of an integer, or of a word that stands for one."""

    def parse(value: Any) -> int:
        try:
            return words[value] if value in words else int(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a valid integer or {', '.join(words)}.") from None

    return parse

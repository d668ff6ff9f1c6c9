"""Typer options from the signature and docstring of a task, so that no parameter is declared twice."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_origin, get_type_hints

import typer

from earcli.cli.docstrings import helps_of
from earcli.cli.flags import flags_of, with_flags
from earcli.cli.typer_types import parameter, sequence_type, typer_default, typer_type

INTERNAL = ("reporter", "knobs")
"""Parameters of a task that become no options."""


def task_options(
    task: Callable[..., Any], arguments: Sequence[str], short: Mapping[str, Sequence[str]]
) -> list[inspect.Parameter]:
    """Typer parameters for the parameters of a task, without its knobs.

    Args:
        task: A function whose docstring describes every parameter in its `Args:` section.
        arguments: The parameters that are positional on the command line.
        short: Flags that differ from or add to the parameter's own, such as `{"output": ("--output", "-o")}`.
    """
    hints, helps = get_type_hints(task), helps_of(task)
    # `with_knobs` adds knobs to the signature, but not to the annotations
    names = [name for name in inspect.signature(task).parameters if name in hints and name not in INTERNAL]
    flags = flags_of(names, short)
    result = []
    for name in names:
        default = inspect.signature(task).parameters[name].default
        hint = sequence_type(hints[name]) if name in arguments else hints[name]
        kind, text = typer_type(hint), with_flags(helps[name], flags)
        if name in arguments:
            metavar = _singular(name.upper()) if get_origin(kind) is list else name.upper()
            option: Any = typer.Argument(metavar=metavar, help=text, show_default=False)
        else:
            show_default = default is not None and default is not False
            option = typer.Option(*short.get(name, (flags[name],)), help=text, show_default=show_default)
        result.append(parameter(name, typer_default(default, kind), kind, option))
    return result


def _singular(plural: str) -> str:
    """The name of one of several arguments, of which Typer shows that they repeat.

    >>> _singular("QUERIES"), _singular("SOURCES")
    ('QUERY', 'SOURCE')
    """
    return re.sub("IES$", "Y", plural).removesuffix("S")

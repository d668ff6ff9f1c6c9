"""Typer options from the signature and docstring of a task, so that no parameter is declared twice."""

import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from earcli.config.fields import Knobs

INTERNAL = ("reporter", "knobs")
"""Parameters of a task that are no options."""
ENTRY = re.compile(r"(?m)^ {4}(\w+): ((?:.+\n?)(?: {5,}.+\n?)*)")


def flag(name: str) -> str:
    """The flag of a parameter: `latent_dim` is `--latent-dim`.

    >>> flag("latent_dim")
    '--latent-dim'
    """
    return "--" + name.replace("_", "-")


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """A help or error text in which parameters in backticks are written as their flags.

    >>> with_flags("`batch_size` must be 1 or more, got `x`.", {"batch_size": "--batch-size"})
    '--batch-size must be 1 or more, got `x`.'
    """
    return re.sub(r"`(\w+)`", lambda match: flags.get(match[1], match[0]), text)


def flags_of(names: Iterable[str], short: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The flag by which messages name each parameter.

    >>> flags_of(["counts", "output"], {"counts": ("--count",)})
    {'counts': '--count', 'output': '--output'}
    """
    return {name: short[name][0] if name in short else flag(name) for name in names}


def summary_of(task: Callable[..., Any]) -> str:
    """The first paragraph of a task's docstring, which is the help of its command."""
    return " ".join(inspect.cleandoc(task.__doc__ or "").split("\n\n", 1)[0].split())


def helps_of(task: Callable[..., Any]) -> dict[str, str]:
    """The entries of the `Args:` section of a Google-style docstring, by parameter."""
    text = inspect.cleandoc(task.__doc__ or "")
    section = re.search(r"(?ms)^Args:\n(.*?)(?=^\w|\Z)", text)
    return {name: " ".join(entry.split()) for name, entry in ENTRY.findall(section[1])} if section else {}


def task_options(
    task: Callable[..., Any], arguments: Sequence[str], short: Mapping[str, Sequence[str]]
) -> list[inspect.Parameter]:
    """Typer parameters for the parameters of a task.

    Args:
        task: A function whose docstring describes every parameter in its `Args:` section.
        arguments: The parameters that are positional on the command line.
        short: Flags that differ from or add to the parameter's own, such as `{"output": ("--output", "-o")}`.
    """
    hints, helps = get_type_hints(task), helps_of(task)
    parameters = [p for p in inspect.signature(task).parameters.values() if p.name not in INTERNAL]
    flags = flags_of((p.name for p in parameters), short)
    result = []
    for parameter in parameters:
        kind, text = _typer_type(hints[parameter.name]), with_flags(helps[parameter.name], flags)
        if parameter.name in arguments:
            metavar = parameter.name.upper().rstrip("S") if get_origin(kind) is list else parameter.name.upper()
            information: Any = typer.Argument(metavar=metavar, help=text, show_default=False)
        else:
            spellings = short.get(parameter.name, (flag(parameter.name),))
            information = typer.Option(
                *spellings, help=text, show_default=parameter.default is not None and parameter.default is not False
            )
        result.append(
            inspect.Parameter(
                parameter.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=_typer_default(parameter.default),
                annotation=Annotated[kind, information],
            )
        )
    return result


def knob_options(kinds: Sequence[type[Knobs]], resumable_only: bool) -> list[inspect.Parameter]:
    """Typer options for the knobs of configurations; a knob that several kinds have is one option."""
    hints = {name: hint for kind in kinds for name, hint in get_type_hints(kind).items()}
    # of a knob that several kinds have, the first one's default and help are shown
    every = {f.name: (f, group) for kind in reversed(kinds) for group in kind.GROUPS for f in fields(group)}
    flags = flags_of(every, {})
    return [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=Annotated[hints[item.name], _knob_option(item, group.TITLE, flags)],
        )
        for item, group in every.values()
        if item.metadata["resumable"] or not resumable_only
    ]


def _knob_option(item: Field[Any], panel: str, flags: Mapping[str, str]) -> Any:
    words: Mapping[str, int] = item.metadata["words"]
    return typer.Option(
        flag(item.name),
        help=with_flags(item.metadata["help"], flags),
        rich_help_panel=panel,
        parser=_number_or(words) if words else None,
        metavar="|".join(["INTEGER", *words]) if words else None,
    )


def _number_or(words: Mapping[str, int]) -> Callable[[Any], int]:
    """A parser of an integer, or of a word that stands for one."""

    def parse(value: Any) -> int:
        try:
            return words[value] if value in words else int(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a valid integer or {', '.join(words)}.") from None

    return parse


def _typer_type(hint: Any) -> Any:
    """The type that Typer parses for a task's parameter: paths as Path, sequences as lists."""
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        sequences = [
            option for option in options if get_origin(option) is not None and get_origin(option) is not Literal
        ]
        kind = Path if Path in options else _typer_type((sequences or options)[0])
        return kind | None if type(None) in get_args(hint) else kind
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return list[_typer_type(get_args(hint)[0])]  # type: ignore[misc]
    return hint


def _typer_default(default: Any) -> Any:
    return ... if default is inspect.Parameter.empty else list(default) if isinstance(default, tuple) else default

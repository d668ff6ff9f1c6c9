"""Typer options from the signature and docstring of a task, so that no parameter is declared twice."""

import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from earcli.config.fields import Knobs
from earcli.config.signature import knobs_of

INTERNAL = ("reporter", "knobs")
"""Parameters of a task that become no options."""
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
        hint = _sequence_type(hints[name]) if name in arguments else hints[name]
        kind, text = _typer_type(hint), with_flags(helps[name], flags)
        if name in arguments:
            metavar = name.upper().rstrip("S") if get_origin(kind) is list else name.upper()
            option: Any = typer.Argument(metavar=metavar, help=text, show_default=False)
        else:
            show_default = default is not None and default is not False
            option = typer.Option(*short.get(name, (flags[name],)), help=text, show_default=show_default)
        result.append(_parameter(name, _typer_default(default, kind), kind, option))
    return result


def knob_options(kinds: Sequence[type[Knobs]], resumable_only: bool) -> list[inspect.Parameter]:
    """Typer options for the knobs of configurations; see `knobs_of`.

    With `resumable_only` no defaults are shown: they come from the checkpoint.
    """
    knobs = knobs_of(*kinds, resumable_only=resumable_only)
    flags = flags_of(knobs, {})
    result = []
    for name, info in knobs.items():
        words: Mapping[str, int] = info.field.metadata["words"]
        option = typer.Option(
            flags[name],
            help=with_flags(info.field.metadata["help"], flags),
            rich_help_panel=info.group,
            parser=_number_or(words) if words else None,
            metavar="|".join(["INTEGER", *words]) if words else None,
            show_default=not resumable_only,
        )
        result.append(_parameter(name, info.field.default, info.type, option))
    return result


def _parameter(name: str, default: Any, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _number_or(words: Mapping[str, int]) -> Callable[[Any], int]:
    """A parser of an integer, or of a word that stands for one."""

    def parse(value: Any) -> int:
        try:
            return words[value] if value in words else int(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a valid integer or {', '.join(words)}.") from None

    return parse


def _sequence_type(hint: Any) -> Any:
    """The sequence in a type that also allows a single value; any other type as it is.

    >>> _sequence_type(str | Sequence[str])
    collections.abc.Sequence[str]
    """
    sequences = [option for option in get_args(hint) if get_origin(option) is Sequence]
    return sequences[0] if sequences else hint


def _typer_type(hint: Any) -> Any:
    """The type that Typer parses for a parameter: paths as Path, sequences as lists.

    >>> _typer_type(str | Path | None)
    pathlib.Path | None
    >>> _typer_type(Sequence[int])
    list[int]
    >>> _typer_type(str | Sequence[int])  # text with commas
    <class 'str'>
    """
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        kind = next((simple for simple in (Path, str) if simple in options), None) or _typer_type(options[0])
        return kind | None if type(None) in get_args(hint) else kind
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return list[_typer_type(get_args(hint)[0])]  # type: ignore[misc]
    return hint


def _typer_default(default: Any, kind: Any) -> Any:
    if default is inspect.Parameter.empty:
        return ...
    if isinstance(default, tuple):
        return ",".join(map(str, default)) if kind is str else list(default)
    return default

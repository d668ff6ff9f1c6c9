"""The types and defaults that Typer parses, from those of parameters."""

import inspect
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

Run = Callable[..., None]


def parameter(name: str, default: Any, kind: Any, option: Any) -> inspect.Parameter:
    """A keyword-only parameter with a Typer option."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def sequence_type(hint: Any) -> Any:
    """The sequence in a type that also allows a single value; any other type as it is.

    >>> sequence_type(str | Sequence[str])
    collections.abc.Sequence[str]
    """
    sequences = [option for option in get_args(hint) if get_origin(option) is Sequence]
    return sequences[0] if sequences else hint


def typer_type(hint: Any) -> Any:
    """The type that Typer parses for a parameter: paths as Path, sequences as lists.

    >>> typer_type(str | Path | None)
    pathlib.Path | None
    >>> typer_type(str | Sequence[int])  # text with commas
    <class 'str'>
    """
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        kind = next((simple for simple in (Path, str) if simple in options), None) or typer_type(options[0])
        return kind | None if type(None) in get_args(hint) else kind
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return list[typer_type(get_args(hint)[0])]  # type: ignore[misc]
    return hint


def typer_default(default: Any, kind: Any) -> Any:
    """The default that Typer shows: `...` for none, and text with commas or a list for a tuple."""
    if default is inspect.Parameter.empty:
        return ...
    if isinstance(default, tuple):
        return ",".join(map(str, default)) if kind is str else list(default)
    return default


def with_signature(function: Run, parameters: Sequence[inspect.Parameter], doc: str) -> Run:
    """A function with the parameters and the help that Typer reads."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters}
    function.__doc__ = doc
    return function

"""Tests of `earcli/cli/typer_types.py`."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from earcli.cli.typer_types import parameter, sequence_type, typer_default, typer_type, with_signature


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, int),
        (float | None, float | None),
        (str | Path, Path),
        (str | Path | None, Path | None),
        (Sequence[str | Path], list[Path]),
        (Sequence[int] | None, list[int] | None),
        (Literal["a", "b"], Literal["a", "b"]),
        (str | Sequence[int], str),
    ],
)
def test_a_type_is_one_that_typer_parses(hint: Any, expected: Any) -> None:
    assert typer_type(hint) == expected


def test_a_default_is_one_that_typer_shows() -> None:
    assert typer_default(inspect.Parameter.empty, int) is ...
    assert typer_default((1, 2), list[int]) == [1, 2]
    assert typer_default((1, 2), str) == "1,2"
    assert typer_default(None, int | None) is None
    assert sequence_type(str | Path | Sequence[str | Path]) == Sequence[str | Path]


def test_a_function_gets_the_signature_that_typer_reads() -> None:
    described = with_signature(lambda **values: None, [parameter("side", 4, int, "option")], "Draw.")
    found = inspect.signature(described).parameters["side"]
    assert (found.default, found.annotation.__metadata__, described.__doc__) == (4, ("option",), "Draw.")
    assert described.__annotations__["side"] is found.annotation

"""Tests of `earcli/cli/task_options.py`."""

import inspect
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from running import EAR

from earcli.cli.task_options import task_options


def measure(sources: Sequence[str | Path], *, batch_size: int = 8, output: str | Path | None = None) -> None:
    """Measure something.

    Args:
        sources: Folders, which are
            searched.
        batch_size: Pictures at once; needs `output`.
        output: The file.
    """


def test_each_parameter_is_an_option_with_its_help_type_and_default() -> None:
    options = task_options(measure, ["sources"], {"output": ("--output", "-o")})
    found = {p.name: (get_args(p.annotation)[0], p.default, get_args(p.annotation)[1]) for p in options}
    kinds = {name: (kind, default) for name, (kind, default, _) in found.items()}
    assert kinds == {"sources": (list[Path], ...), "batch_size": (int, 8), "output": (Path | None, None)}
    assert found["sources"][2].metavar == "SOURCE"
    assert found["sources"][2].help == "Folders, which are searched."
    assert found["batch_size"][2].default == "--batch-size"  # Typer takes the first for a default until it parses
    assert found["batch_size"][2].help == "Pictures at once; needs --output."
    assert (found["output"][2].default, found["output"][2].param_decls) == ("--output", ("-o",))
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in options)


def test_a_parameter_that_nobody_describes_is_an_error() -> None:
    def silent(folder: Path) -> None:
        """Do something."""

    with pytest.raises(KeyError, match="folder"):
        task_options(silent, [], {})


@pytest.mark.parametrize("columns", ["40", "1", "0"])
def test_help_names_every_option_whole_however_narrow(columns: str) -> None:
    done = subprocess.run(
        [EAR, "check", "--help"], env={**os.environ, "COLUMNS": columns}, capture_output=True, text=True, check=True
    )
    assert all(f" --{name} " in done.stdout for name in ("root-dir", "num-workers", "debug"))
    if columns == "40":
        assert max(map(len, done.stdout.splitlines())) <= 40

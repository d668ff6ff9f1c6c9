"""Tests of `earcli/reporting/tables.py`."""

from pathlib import Path

import pytest
from rich.console import Console

from earcli.reporting.tables import print_table


@pytest.mark.parametrize(("width", "meant"), [(40, False), (60, True)])
def test_a_narrow_terminal_keeps_the_counts(tmp_path: Path, width: int, meant: bool) -> None:
    with (tmp_path / "screen").open("w+") as file:
        console = Console(file=file, width=width, force_terminal=True, color_system=None)
        rows = [("leak-lookalike", "12345", "near-duplicate in another split")]
        print_table(console, ("kind", "train", "meaning"), rows, optional=("meaning",))
        file.seek(0)
        lines = file.read().splitlines()
    assert any("leak-lookalike" in line and "12345" in line for line in lines)
    assert any("near-duplicate in another" in line for line in lines) == meant
    assert max(map(len, lines)) <= width

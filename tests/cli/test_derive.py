"""Tests of `earcli/cli/derive.py`."""

import os
import subprocess

import pytest
from running import EAR


@pytest.mark.parametrize("columns", ["40", "1", "0"])
def test_help_names_every_option_whole_however_narrow(columns: str) -> None:
    done = subprocess.run(
        [EAR, "check", "--help"], env={**os.environ, "COLUMNS": columns}, capture_output=True, text=True, check=True
    )
    assert all(f" --{name} " in done.stdout for name in ("root-dir", "num-workers", "debug"))
    if columns == "40":
        assert max(map(len, done.stdout.splitlines())) <= 40

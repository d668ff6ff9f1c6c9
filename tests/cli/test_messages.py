"""Tests of `earcli/cli/messages.py`."""

import shlex
from pathlib import Path

import pytest

from earcli.cli.messages import show_stop
from earcli.errors import InterruptedTraining


def test_the_command_that_goes_on_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    path = "my 'runs'/耳 $(x)/last.ckpt"
    show_stop(InterruptedTraining(2, Path(path)))
    assert shlex.split(capsys.readouterr().out.partition("continue with: ")[2]) == ["ear", "resume", path]

"""Tests of `earcli/tasks/selftest.py`."""

from pathlib import Path
from typing import Any

import pytest

from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT
from earcli.tasks.selftest import _run_tasks


def test_the_tasks_stop_at_the_first_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(**knobs: Any) -> None:
        raise ConfigError("`epochs` must be 1 or more")

    monkeypatch.setattr("earcli.tasks.train.train", fail)
    checks = list(_run_tasks(tmp_path, SILENT))
    assert [(check.name, check.passed) for check in checks] == [("synth", True), ("train", False)]
    assert "`epochs` must be 1 or more" in checks[1].measured

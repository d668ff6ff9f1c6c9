"""Tests of `earcli/cli/selftest.py`."""

import json

import pytest
from typer.testing import CliRunner

from earcli.benchmarks import selftest
from earcli.benchmarks.report import Check
from earcli.cli.app import app


def test_the_command_fails_when_a_check_does(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("VAE", "parameters", "1.00 M", "116.15 M", False), Check("VAE", "trainable", "100%", "100%", True)]
    monkeypatch.setattr(selftest, "run_checks", lambda config: iter(checks))
    result = CliRunner().invoke(app, ["selftest", "--json"])
    assert result.exit_code == 1
    assert "1 of 2 checks failed (VAE: parameters)" in result.stderr
    assert json.loads(result.stdout)["checks"][0]["measured"] == "1.00 M"
    monkeypatch.setattr(selftest, "run_checks", lambda config: iter(checks[1:]))
    result = CliRunner().invoke(app, ["selftest"])
    assert result.exit_code == 0
    assert "none failed" in result.stdout

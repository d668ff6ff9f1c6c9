"""Tests of `earcli/cli/app.py`."""

import os
import subprocess
import sys
from pathlib import Path

from running import EAR, manifests

from earcli import __version__


def test_the_installed_command_says_its_version() -> None:
    result = subprocess.run([EAR, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"ear {__version__}\n"


def test_missing_weights_are_found_before_lightning_is_imported(ears: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from earcli.cli.app import app; "
        f"sys.argv[1:] = {['train', *manifests(ears), '--run-dir', str(tmp_path)]!r}\n"
        "try:\n    app()\nexcept SystemExit as e:\n    print(e.code, 'pytorch_lightning' in sys.modules)"
    )
    environment = {**os.environ, "TORCH_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.splitlines() == ["1 False"]
    assert "resnet50-11ad3fa6.pth is not on this machine" in result.stderr

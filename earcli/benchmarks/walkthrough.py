"""The commands of `ear`, one after the other, as a user runs them, on ears that are drawn."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from earcli.benchmarks.selftest import Check

EARS = "60"
COMMANDS: dict[str, tuple[str, str]] = {
    "synth": (f"synth ears --count {EARS}", "ears/val_teacher.npy"),
    "train": (
        "train --preset tiny --epochs 1 --train-manifest ears/train_teacher.npy --val-manifest ears/val_teacher.npy",
        "runs/ear_vae/version_0/checkpoints/last.ckpt",
    ),
    "resume": ("resume --epochs 2", "runs/ear_vae/version_0/reconstructions/epoch_001.png"),
    "evaluate": ("evaluate", "runs/ear_vae/version_0/evaluation/report.html"),
    "eigenears": (
        "eigenears --checkpoint last.ckpt --components 4",
        "runs/ear_vae/version_0/eigenears/eigenears_grid.png",
    ),
    "finetune": (
        "finetune --preset tiny --epochs 1 --train-manifest ears/train_landmarks.coco.json "
        "--val-manifest ears/val_landmarks.coco.json",
        "runs/ear_detector/version_0/predictions/epoch_000.png",
    ),
    "predict": ("predict ears/images", "predictions/predictions.json"),
}
"""By name: what follows `ear`, and a file that must be there afterwards."""


def run_commands() -> Iterator[Check]:
    """Runs all in a temporary folder, up to the first that fails."""
    with TemporaryDirectory() as folder:
        for name, (line, expected) in COMMANDS.items():
            start = time.perf_counter()
            command = [sys.executable, "-c", "from earcli.cli.app import main; main()", *line.split()]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            took = f"{time.perf_counter() - start:.0f} s"
            passed = done.returncode == 0 and (Path(folder) / expected).is_file()
            last = (done.stderr.strip() or done.stdout.strip() or "nothing said").splitlines()[-1]
            yield Check("commands", name, took if passed else f"exit code {done.returncode}: {last}", expected, passed)
            if not passed:
                return

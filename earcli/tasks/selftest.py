"""Checking an installation."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from earcli.benchmarks.report import Check
from earcli.errors import InterruptedTraining
from earcli.reporting.reporter import SILENT, Reporter

EARS = 60
TASKS = ("synth", "train", "resume", "evaluate", "eigenears", "finetune", "predict")


@dataclass(frozen=True)
class SelftestResult:
    """The outcome of a self-test.

    Attributes:
        environment: Versions, hardware and settings, by name.
        checks: All checks, in order.
    """

    environment: dict[str, str]
    checks: list[Check]

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if check.passed is False]

    def to_dict(self) -> dict[str, Any]:
        return {"environment": self.environment, "checks": [check._asdict() for check in self.checks]}


def selftest(*, full: bool = False, reporter: Reporter = SILENT) -> SelftestResult:
    """Check the installation on the default architecture, without network or images.

    Args:
        full: Also draw ears, train, resume, evaluate, compute eigenears, fine-tune and predict, in a few minutes.
        reporter: Receives progress.

    Example:
        >>> earcli.selftest().failed  # doctest: +SKIP
        []
    """
    from earcli.benchmarks.environment import environment
    from earcli.benchmarks.selftest import run_checks
    from earcli.config.teacher import TrainConfig
    from earcli.training.precision import choose_precision

    config = choose_precision(TrainConfig.resolve("full", {}, {"weights": "none"}))
    checks: list[Check] = []
    for check in run_checks(config):
        checks.append(check)
        reporter.progress(f"checking the {check.part}", len(checks), 0)
    if full:
        with TemporaryDirectory() as folder:
            checks += _run_tasks(Path(folder), reporter)
    return SelftestResult(environment(config), checks)


def _run_tasks(folder: Path, reporter: Reporter) -> Iterator[Check]:
    """Runs one task after another, up to the first that fails."""
    steps = _task_outputs(folder)
    for number, name in enumerate(TASKS):
        reporter.progress(f"running {name}", number, len(TASKS))
        start = time.perf_counter()
        expected = "no error"
        try:
            output = next(steps)
            expected = output.relative_to(folder).as_posix()
            passed, measured = output.is_file(), f"{time.perf_counter() - start:.0f} s"
        except InterruptedTraining:
            raise
        except Exception as error:  # whatever an unsound installation raises
            passed, measured = False, f"{type(error).__name__}: {error}"
        yield Check("tasks", name, measured, expected, passed)
        if not passed:
            return


def _task_outputs(folder: Path) -> Iterator[Path]:
    """Runs the task whose turn it is, in the order of `TASKS`; yields a file that it must have written."""
    from earcli.tasks.eigenears import eigenears
    from earcli.tasks.evaluate import evaluate
    from earcli.tasks.finetune import finetune
    from earcli.tasks.predict import predict
    from earcli.tasks.resume import resume
    from earcli.tasks.synth import synth
    from earcli.tasks.train import train

    common: dict[str, Any] = {"preset": "tiny", "epochs": 1, "run_dir": folder / "runs"}
    ears = synth(folder / "ears", count=EARS)
    yield ears.val_manifest
    teacher = train(train_manifest=ears.train_manifest, val_manifest=ears.val_manifest, **common)
    run = Path(teacher.last).parents[1]
    yield Path(teacher.last)
    resume(teacher.last, epochs=2)
    yield run / "reconstructions" / "epoch_001.png"
    evaluate(teacher.best, run_dir=common["run_dir"])
    yield run / "evaluation" / "report.html"
    eigenears(teacher.last, components=4)
    yield run / "eigenears" / "eigenears_grid.png"
    detector = finetune(
        checkpoint=teacher.best, train_manifest=ears.train_landmarks, val_manifest=ears.val_landmarks, **common
    )
    yield Path(detector.last).parents[1] / "predictions" / "epoch_000.png"
    predict([ears.folder / "images"], checkpoint=detector.best, output=folder / "predictions")
    yield folder / "predictions" / "predictions.json"

"""The trials of a comparison of initializations: their ears and configurations, and the table of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.data.batches import PixelDataset
from earcli.data.labels import Labels, read_labels
from earcli.data.manifest import SubjectSource
from earcli.errors import DataError, InterruptedTraining
from earcli.files import write_records
from earcli.models.detector import EarDetector
from earcli.reporting.reporter import Reporter
from earcli.tasks.detectors import build_detector, read_initial_trunk, read_views
from earcli.tasks.inputs import report_skipped
from earcli.training.comparison import Plan, Trial, compare
from earcli.training.precision import choose_precision


@dataclass(frozen=True)
class ComparedEars:
    """The N ears that detectors train and are tested on.

    Attributes:
        train, test: The same ears, with and without room for augmentation.
        groups: (N,) ears of one group, such as a person, are in the same fold.
        names: The names of the landmarks.
    """

    train: PixelDataset
    test: PixelDataset
    groups: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.groups)


def read_ears(
    manifests: Sequence[Path], root_dir: Path | None, subject: SubjectSource, config: FinetuneConfig, reporter: Reporter
) -> Labels:
    """The labeled ears of several manifests, with subjects.

    Raises:
        ManifestError: A manifest cannot be read.
        DataError: The labels cannot be used, or have no landmarks.
    """
    labels = Labels.concatenate(
        [read_labels(manifest, root_dir, config.landmarks, category=config.category) for manifest in manifests]
    )
    labels = labels.subset(np.flatnonzero(labels.has_ear))
    if not (labels.points[..., 2] > 0).any():
        raise DataError("The labels have no landmarks, whose errors are compared. Use labels with landmarks.")
    for note in labels.notes:
        reporter.note(note)
    report_skipped(labels.skipped, reporter, "labels")
    return replace(labels, manifest=labels.manifest.with_subjects(subject))


def settle_configs(
    configs: Mapping[str, FinetuneConfig], names: Sequence[str], reporter: Reporter
) -> dict[str, FinetuneConfig]:
    """Configurations with the architecture of their teacher, also those that start without its weights.

    A configuration with an encoder of its own has the teacher's sizes and its own encoder.

    Raises:
        CheckpointError: There is no such teacher, or it cannot be used.
        WeightsError: The weights of a backbone are missing or do not fit.
        ConfigError: A knob contradicts the teacher.
    """
    teachers: dict[str, Checkpoint] = {}
    result = {}
    for name, config in configs.items():
        if config.checkpoint not in teachers:
            teachers[config.checkpoint] = Checkpoint.open(config.checkpoint, "teacher", run_dir=config.run_dir)
            reporter.note(f"teacher {teachers[config.checkpoint].path}")
        checkpoint = teachers[config.checkpoint]
        assert isinstance(checkpoint.config, TrainConfig)
        teacher = checkpoint.config
        if config.init != "teacher" and config.encoder:
            teacher = replace(teacher, encoder=config.encoder, encoder_size=0, input_stats="encoder")
        settled = replace(config, checkpoint=str(checkpoint.path)).settled(teacher, names)
        if config.init != "teacher":  # fails now, not after hours of training
            read_initial_trunk(settled)
        result[name] = choose_precision(settled)
    return result


def read_compared_ears(labels: Labels, config: FinetuneConfig, reporter: Reporter) -> ComparedEars:
    """The views of labels, and their groups: subjects where they are known, else pictures."""
    train, kept = read_views(config, labels, vary=config.augment != "none", reporter=reporter)
    test, _ = read_views(config, labels, vary=False, reporter=reporter)
    groups = kept.manifest.subject_numbers()
    pictures = np.unique(kept.manifest.paths, return_inverse=True)[1]
    groups = np.where(groups < 0, groups.max() + 1 + pictures, groups)
    return ComparedEars(train, test, groups, kept.names)


def run_trials(plan: Plan, ears: ComparedEars, steps: int, jobs: int, output: Path, reporter: Reporter) -> list[Trial]:
    """Trains and tests every detector of a plan, and writes `trials.csv` after each.

    Args:
        plan: The initializations, budgets, seeds and folds.
        ears: The ears.
        steps: Training batches of each detector.
        jobs: Detectors to train in parallel.
        output: Folder of `trials.csv`.
        reporter: Receives progress.

    Raises:
        InterruptedTraining: A signal stopped the trials.
    """
    groups = len(np.unique(ears.groups))
    reporter.note(f"{len(ears)} labeled ears in {groups} groups, {len(plan)} detectors to train")
    reporter.progress("comparing", 0, len(plan))
    path = output / "trials.csv"
    trials: list[Trial] = []
    try:
        for trial in compare(plan, partial(_build, ears.names), ears.train, ears.test, ears.groups, steps, jobs):
            trials.append(trial)
            write_records(path, [_row(trial) for trial in trials])
            reporter.progress("comparing", len(trials), len(plan))
    except InterruptedTraining as stopped:
        if trials:
            reporter.note(f"the trials so far are in {path}")
        raise InterruptedTraining(stopped.signal_number, None) from None  # its detectors are not kept
    return trials


def _build(names: tuple[str, ...], config: FinetuneConfig) -> tuple[EarDetector, FinetuneConfig]:
    return build_detector(config, names)


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "start": trial.start,
        "labels": trial.budget,
        "seed": trial.seed,
        "fold": trial.fold,
        "ears": len(trial.ears),
        "nme": f"{np.nanmean(trial.nme):.6f}",
        "iou": f"{trial.iou.mean():.6f}",
    }

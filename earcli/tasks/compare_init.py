"""What `ear compare-init` does and leaves: labels, trials, a table, a curve."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earcli.checkpoints.opening import open_checkpoint
from earcli.checkpoints.weights import checkpoint_config
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.data.labels import Labels, read_labels
from earcli.data.manifest import SubjectSource
from earcli.data.views import view_dataset
from earcli.errors import DataError
from earcli.files import check_empty_folder, check_writable, write_records
from earcli.models.detector import EarDetector
from earcli.reporting.console import Report
from earcli.reporting.curves import save_comparison
from earcli.tasks.finetune import read_start_trunk, start
from earcli.tasks.sources import note_skipped
from earcli.tasks.stops import stops_told
from earcli.training.comparison import Plan, Trial, compare, summarize
from earcli.training.precision import choose_precision


def run_comparison(
    manifests: Sequence[Path],
    root_dir: Path | None,
    subject: SubjectSource,
    starts: Mapping[str, FinetuneConfig],
    division: tuple[Sequence[int], Sequence[int], int],
    steps: int,
    jobs: int,
    output: Path,
    report: Report,
) -> list[dict[str, Any]]:
    """Trains every detector, writes `output` as they come, and returns the rows of the table.

    Args:
        starts: configurations by name.
        division: budgets, seeds and folds of a `Plan`.
    """
    check_empty_folder(output)
    check_writable(output)
    first = next(iter(starts.values()))
    path, content = open_checkpoint(first.checkpoint, first.run_dir)
    teacher = checkpoint_config(content, path, TrainConfig)
    report.note(f"teacher {path}")
    parts = [read_labels(manifest, root_dir, first.landmarks) for manifest in manifests]
    labels = Labels.joined(parts)
    labels = labels.subset(np.flatnonzero(labels.has_ear))
    if not (labels.points[..., 2] > 0).any():
        raise DataError("These labels have no points, whose errors are compared. Give labels with key points.")
    labels = replace(labels, manifest=labels.manifest.with_subjects(subject))
    note_skipped(labels.skipped, report, "labels in all")
    # every start gets the teacher's architecture, also the one that learns from nothing
    settled = {
        name: choose_precision(replace(config, checkpoint=str(path)).settled(teacher, labels.names))
        for name, config in starts.items()
    }
    first = next(iter(settled.values()))
    (varied, kept), (plain, _) = (
        view_dataset(
            labels,
            first.shape[0],
            first.seen_margin,
            vary=vary,
            folder=first.run_dir / ".cache",
            workers=first.num_workers,
            progress=report.progress,
            verify=first.verify_cache,
        )
        for vary in (first.augment != "none", False)
    )
    for config in settled.values():
        if config.init == "imagenet":
            read_start_trunk(config)  # before hours of training, not after
    groups = kept.manifest.subject_numbers()
    pictures = np.unique(kept.manifest.paths, return_inverse=True)[1]
    groups = np.where(groups < 0, groups.max() + 1 + pictures, groups)
    plan = Plan(settled, *division)
    report.note(f"{len(kept)} labeled ears in {len(np.unique(groups))} groups, {len(plan)} detectors to train")
    trials: list[Trial] = []
    report.progress("comparing", 0, len(plan))
    with stops_told(report, f"the trials so far are in {output / 'trials.csv'}"):
        for trial in compare(plan, partial(_start, labels.names), varied, plain, groups, steps, jobs):
            trials.append(trial)
            write_records(output / "trials.csv", [_row(trial) for trial in trials])
            report.progress("comparing", len(trials), len(plan))
    rows = summarize(trials, len(kept), groups)
    write_records(output / "comparison.csv", rows)
    save_comparison(output / "curve.png", rows)
    return rows


def _start(names: tuple[str, ...], config: FinetuneConfig) -> tuple[EarDetector, FinetuneConfig]:
    return start(config, names)


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

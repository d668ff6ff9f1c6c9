"""What `ear finetune` and `ear resume` share: labels, a detector to start from, and what came of it."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from torch import Tensor

from earcli.checkpoints.opening import open_checkpoint
from earcli.checkpoints.runs import RunFolder, check_place
from earcli.checkpoints.weights import checkpoint_config, read_trunk
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.data.formats.columns import default_point_names
from earcli.data.labels import Labels, read_labels
from earcli.data.views import view_dataset
from earcli.errors import ConfigError, DataError
from earcli.models.detector import EarDetector
from earcli.models.vae import EarVAE
from earcli.reporting.console import DETECTOR_COLUMNS, ProgressBar, Report, TrainingReport
from earcli.startup import first_process, lap
from earcli.tasks.sources import note_skipped
from earcli.tasks.stops import resume_command, stops_told
from earcli.training.batch_size import check_batch_size
from earcli.training.precision import choose_precision

if TYPE_CHECKING:
    from earcli.training.detector import DetectorModule

LISTED = "labels in all; skipped.csv lists them"


def finetune(config: FinetuneConfig, resume: tuple[RunFolder, Path] | None = None) -> None:
    """Loads labels and what the detector starts from, trains, and says where everything is."""
    lap("imports")
    config = choose_precision(config)
    check_batch_size(config)
    check_place(config.run_dir, config.run_name)
    console = Console(quiet=not first_process())
    with ProgressBar(console) as progress:
        report = TrainingReport(console, progress, DETECTOR_COLUMNS)
        train, val = labels_of(config, report)
        lap("labels")
        model, config = start(config, train.names, report.note, resumed=resume is not None)
        lap("weights")
        run, module = fit(config, model, train, val, report, resume)
    if console.quiet:
        return
    for line in summary(config, run, module):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def labels_of(config: FinetuneConfig, report: Report) -> tuple[Labels, Labels]:
    """The labels to learn from and those to validate on.

    Raises:
        DataError: they cannot be used, or have other points than each other.
    """
    train = read_labels(config.train_manifest, config.root_dir, config.landmarks, config.backgrounds)
    train = (train.alone() if config.seen_margin is None else train).limit(config.labels, config.seed)
    val = read_labels(config.val_manifest, config.root_dir, len(train.names))
    if train.names != val.names and default_point_names(len(train.names)) not in (train.names, val.names):
        other = next((a, b) for a, b in zip(val.names, train.names, strict=True) if a != b)
        raise DataError(
            f"{config.val_manifest} names its points otherwise than {config.train_manifest}, such as "
            f"{other[0]!r} for {other[1]!r}. Give labels of one kind."
        )
    note_skipped(train.skipped + val.skipped, report, LISTED)
    ears = int(train.has_ear.sum())
    without = f" (and pictures without an ear: {len(train) - ears})" if len(train) > ears else ""
    known = f"{int(val.has_ear.sum())} to validate on; {len(train.names)} points"
    report.note(f"{ears} labeled ears to learn from{without}, {known}")
    return train, val


def start(
    config: FinetuneConfig, names: tuple[str, ...], note: Callable[[str], None] | None = None, *, resumed: bool = False
) -> tuple[EarDetector, FinetuneConfig]:
    """A detector that knows what `--init` says, and the configuration with its architecture.

    Args:
        names: of the points.
        note: hears which teacher it is.
        resumed: the configuration is that of a checkpoint, which will fill the detector.

    Raises:
        CheckpointError: there is no such teacher, or it cannot be used.
        WeightsError: the trunk's weights are missing or do not fit.
        ConfigError: a knob that contradicts the teacher.
    """
    import torch

    torch.manual_seed(config.seed)
    if resumed:
        return EarDetector.untrained(config), config
    if config.init != "teacher":
        config = config.settled(None, names)
        model = EarDetector.untrained(config)
        if config.init == "imagenet":
            model.encoder.load_trunk(read_start_trunk(config))
        return model, config
    path, content = open_checkpoint(config.checkpoint, config.run_dir)
    if note is not None:
        note(f"teacher {path}")
    config = config.settled(checkpoint_config(content, path, TrainConfig), names)
    teacher = EarVAE.load_from_checkpoint(path)
    model = EarDetector(teacher.encoder, teacher.decoder, len(names), config.freeze_encoder)
    return model, replace(config, checkpoint=str(path))


def read_start_trunk(config: FinetuneConfig) -> dict[str, Tensor]:
    """The weights that `--init imagenet` starts from.

    Raises:
        ConfigError: --weights names none.
        WeightsError: they are missing or do not fit.
    """
    trunk = read_trunk(config.architecture[2], config.weights)
    if trunk is None:
        raise ConfigError("--init imagenet wants --weights imagenet or a file, got none. Give --init none.")
    return trunk


def fit(
    config: FinetuneConfig,
    model: EarDetector,
    train: Labels,
    val: Labels,
    report: TrainingReport,
    resume: tuple[RunFolder, Path] | None = None,
) -> tuple[RunFolder, "DetectorModule"]:
    """Decodes what is not in the pixel cache yet, and trains."""
    cache, workers = config.run_dir / ".cache", config.num_workers
    sets = [
        view_dataset(
            labels,
            config.shape[0],
            config.seen_margin,
            vary=vary,
            folder=cache,
            workers=workers,
            progress=report.progress,
            verify=config.verify_cache,
        )
        for labels, vary in ((train, config.augment != "none"), (val, False))
    ]
    for before, (_, kept) in zip((train, val), sets, strict=True):
        note_skipped(kept.skipped[len(before.skipped) :], report, LISTED)
    lap("cache")
    from earcli.training.loop import train_detector

    skipped = [(item.path, item.reason) for _, labels in sets for item in labels.skipped]
    with stops_told(report):
        return train_detector(config, model, sets[0][0], sets[1][0], skipped, report, resume)


def summary(config: FinetuneConfig, run: RunFolder, module: "DetectorModule") -> list[str]:
    """What came of a run that trained to its end."""
    best = run.best()[0]
    record = module.record
    points = f"NME {record['val/nme']:.2%} of the box's diagonal, " if "val/nme" in record else ""
    return [
        f"validation {points}IoU {record['val/iou']:.3f}, AP {record['val/ap']:.3f}",
        f"best epoch {best.epoch}, validation loss {best.val_loss:.4f}: {best.path}",
        f"run folder {run.path}: metrics.csv, predictions/, checkpoints/",
        f"train on: {resume_command(run.last, '--epochs', str(config.epochs * 2))}",
        f"use it: {shlex.join(['ear', 'predict', 'PICTURES', '--checkpoint', str(best.path)])}",
    ]

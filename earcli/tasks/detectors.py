"""What fine-tuning and the comparison of initializations share: labels, their views, and initial detectors."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.pretrained import read_trunk
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.data.batches import PixelDataset
from earcli.data.formats.columns import default_point_names
from earcli.data.labels import Labels, read_labels
from earcli.data.views import view_dataset
from earcli.errors import ConfigError, DataError
from earcli.models.detector import EarDetector
from earcli.reporting.reporter import Reporter
from earcli.tasks.inputs import report_skipped

LISTED = "labels; skipped.csv lists them"


def read_label_sets(config: FinetuneConfig, reporter: Reporter) -> tuple[Labels, Labels]:
    """The labels to train and to validate on.

    Raises:
        ManifestError: A file cannot be read.
        DataError: The labels cannot be used, or the two sets name different landmarks.
    """
    train = read_labels(config.train_manifest, config.root_dir, config.landmarks, config.backgrounds, config.category)
    train = (train.single_ear_pictures() if config.view_margin is None else train).limit(config.labels, config.seed)
    val = read_labels(
        config.val_manifest, config.root_dir, len(train.names), category=config.category, names=train.names
    )
    if train.names != val.names and default_point_names(len(train.names)) not in (train.names, val.names):
        a, b = next((a, b) for a, b in zip(train.names, val.names, strict=True) if a != b)
        raise DataError(
            f"{config.train_manifest} and {config.val_manifest} name different landmarks, such as {a!r} and {b!r}. "
            "Use labels with the same landmarks."
        )
    for note in (*train.notes, *val.notes):
        reporter.note(note)
    report_skipped(train.skipped + val.skipped, reporter, LISTED)
    ears = int(train.has_ear.sum())
    negatives = f" (and {len(train) - ears} pictures without an ear)" if len(train) > ears else ""
    reporter.note(
        f"{ears} labeled training ears{negatives}, {int(val.has_ear.sum())} validation ears; "
        f"{len(train.names)} landmarks"
    )
    return train, val


def read_views(
    config: FinetuneConfig, labels: Labels, *, vary: bool, reporter: Reporter
) -> tuple[PixelDataset, Labels]:
    """The views of labels through the pixel cache, and the labels whose pictures could be decoded.

    Args:
        config: A configuration with its architecture set.
        labels: The labels.
        vary: Whether the views will be augmented.
        reporter: Receives progress and what was skipped.
    """
    views, kept = view_dataset(
        labels,
        config.side,
        config.view_margin,
        vary=vary,
        folder=config.run_dir / ".cache",
        workers=config.num_workers,
        progress=reporter.progress,
        verify=config.verify_cache,
    )
    report_skipped(kept.skipped[len(labels.skipped) :], reporter, LISTED)
    return views, kept


def build_detector(
    config: FinetuneConfig,
    names: tuple[str, ...],
    *,
    resumed: bool = False,
    note: Callable[[str], None] | None = None,
) -> tuple[EarDetector, FinetuneConfig]:
    """A detector initialized as `config.init` says, and the configuration with its architecture set.

    Args:
        config: The configuration.
        names: The names of the landmarks.
        resumed: Whether a checkpoint, which `config` comes from, will fill the detector.
        note: Called with a line that names the teacher, and one if right ears are mirrored.

    Raises:
        CheckpointError: There is no such teacher, or it cannot be used.
        WeightsError: The weights of the backbone are missing or do not fit.
        ConfigError: A knob contradicts the teacher.
    """
    torch.manual_seed(config.seed)
    if resumed:
        return EarDetector.untrained(config), config
    if config.init != "teacher":
        config = config.settled(None, names)
        model = EarDetector.untrained(config)
        trunk = read_initial_trunk(config)
        if trunk is not None:
            model.encoder.load_backbone(trunk)
        return model, config
    checkpoint = Checkpoint.open(config.checkpoint, "teacher", run_dir=config.run_dir)
    if note is not None:
        note(f"teacher {checkpoint.path}")
    assert isinstance(checkpoint.config, TrainConfig)
    config = config.settled(checkpoint.config, names)
    if config.mirror_right and note is not None:
        note("right ears are mirrored, as this teacher estimates them, and predictions are mirrored back")
    teacher = checkpoint.teacher()
    laterality = teacher.laterality if config.mirror_right else None
    model = EarDetector(teacher.encoder, teacher.decoder, len(names), config.freeze_encoder, laterality)
    return model, replace(config, checkpoint=str(checkpoint.path))


def read_initial_trunk(config: FinetuneConfig) -> dict[str, Tensor] | None:
    """The weights of the backbone for an `init` of imagenet; None for none.

    Raises:
        ConfigError: There is no such encoder, or `weights` is none where `init` is imagenet.
        WeightsError: They are missing or do not fit.
    """
    trunk = read_trunk(replace(config.teacher_config, weights=config.initial_trunk[1]))
    if trunk is None and config.init == "imagenet":
        raise ConfigError("`weights` must be pretrained or a file if `init` is imagenet, got none.")
    return trunk

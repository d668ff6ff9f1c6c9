"""What `evaluate` does with a detector."""

from pathlib import Path
from typing import Any

import numpy as np

from earcli.analysis.detection import DetectionResults, detect, mean_shape_nme
from earcli.analysis.encoding import choose_device
from earcli.analysis.verdict import MetricRow, format_interval
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.config.detector import FinetuneConfig
from earcli.data.batches import PixelDataset
from earcli.data.labels import Labels, read_labels
from earcli.data.views import view_dataset
from earcli.errors import ConfigError, EarError
from earcli.files import atomic_folder
from earcli.metrics.intervals import bootstrap_interval
from earcli.metrics.landmarks import FAILURE_THRESHOLD
from earcli.tasks.detector_evaluation_files import DETECTOR_FILES, normalizer_name, write_detector_evaluation
from earcli.tasks.evaluate import Evaluation, EvaluationSettings
from earcli.tasks.inputs import cache_folder, report_skipped

METRICS = {
    "nme": ("NME", ".2%"),
    "failure_rate": (f"NME above {FAILURE_THRESHOLD:.0%}", ".2%"),
    "auc": (f"AUC up to {FAILURE_THRESHOLD:.0%}", ".3f"),
    "iou": ("IoU", ".3f"),
    "ap50": ("AP at 0.5", ".3f"),
    "ap": ("AP at 0.5:0.95", ".3f"),
    "nme_of_mean_shape": ("NME of the mean shape", ".2%"),
}


def evaluate_detector(checkpoint: Checkpoint, settings: EvaluationSettings, normalize: str) -> Evaluation:
    """Measures a detector on labels and writes the folder of the results; see `evaluate`."""
    config = checkpoint.config
    assert isinstance(config, FinetuneConfig)
    model = checkpoint.detector(choose_device(settings.device))
    settings.reporter.note(f"detector {checkpoint.path}")
    output = checkpoint.results_folder(settings.output, "evaluation")
    with atomic_folder(output, DETECTOR_FILES) as folder:
        source = settings.manifest or config.val_manifest
        dataset, labels = _dataset(checkpoint, config, settings)
        _check_normalizer(normalize, labels.points.shape[1])
        results = detect(model, dataset, settings.batch_size, settings.reporter.progress)
        measured = _measure(results, config, normalize, settings.seed)
        rows = _rows(measured)
        metrics = write_detector_evaluation(
            folder,
            checkpoint.path,
            str(source),
            labels=labels,
            results=results,
            metrics=measured,
            rows=rows,
            normalize=normalize,
        )
    notes = [f"NME is in fractions of {normalizer_name(normalize)}"] if "nme" in measured else []
    return Evaluation("detector", output, metrics, rows, notes)


def _dataset(
    checkpoint: Checkpoint, config: FinetuneConfig, settings: EvaluationSettings
) -> tuple[PixelDataset, Labels]:
    """The labeled windows, through the pixel cache, and their labels."""
    source = Path(settings.manifest or config.val_manifest)
    root = settings.root_dir or (config.root_dir if settings.manifest is None else None)
    labels = read_labels(
        source,
        None if root is None else Path(root),
        config.num_landmarks,
        category=config.category,
        names=config.point_names,
    )
    dataset, labels = view_dataset(
        labels,
        config.side,
        config.view_margin,
        vary=False,
        folder=cache_folder(checkpoint, settings.run_dir) / ".cache",
        workers=settings.num_workers,
        progress=settings.reporter.progress,
    )
    for note in labels.notes:
        settings.reporter.note(note)
    report_skipped(labels.skipped, settings.reporter, "labels; skipped.csv lists them")
    settings.reporter.note(f"{int(labels.has_ear.sum())} labeled ears of {source}")
    return dataset, labels


def _check_normalizer(normalize: str, points: int) -> None:
    numbers = [part.strip() for part in normalize.split(",")]
    pair = len(numbers) == 2 and all(number.isdecimal() and 1 <= int(number) <= points for number in numbers)
    if normalize not in ("box", "crop") and not (pair and int(numbers[0]) != int(numbers[1])):
        raise ConfigError(
            f"`normalize` must be box, crop, or two of the points 1 to {points} such as 1,2, got {normalize!r}."
        )


def _measure(results: DetectionResults, config: FinetuneConfig, normalize: str, seed: int) -> dict[str, float]:
    """Metrics by name; `nme` and `iou` with the bounds of their 95% interval over ears, `nme_low` and so on."""
    metrics = dict(results.summary(normalize))
    for name, per_ear in (("nme", results.nme(normalize)), ("iou", results.iou())):
        valid = per_ear[~np.isnan(per_ear)]
        if len(valid) and name in metrics:
            low, high = bootstrap_interval(valid[:, None], seed=seed)[:, 0]
            metrics[f"{name}_low"], metrics[f"{name}_high"] = float(low), float(high)
    if "nme" in metrics and normalize == "box":
        try:
            train = read_labels(
                config.train_manifest,
                config.root_dir,
                config.num_landmarks,
                category=config.category,
                names=config.point_names,
            )
        except EarError:
            return metrics  # the baseline is optional: the training labels may be gone
        metrics["nme_of_mean_shape"] = float(np.nanmean(mean_shape_nme(results, train)))
    return metrics


def _rows(metrics: dict[str, Any]) -> list[MetricRow]:
    rows = []
    for key, (name, form) in METRICS.items():
        if key in metrics:
            low, high = metrics.get(f"{key}_low"), metrics.get(f"{key}_high")
            interval = "" if low is None or high is None else format_interval(low, high, form)
            rows.append(MetricRow("", key, name, format(metrics[key], form), interval))
    return rows

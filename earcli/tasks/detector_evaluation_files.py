"""The folder that `evaluate` writes for a detector."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from earcli.analysis.detection import DetectionResults
from earcli.analysis.verdict import HEADER, MetricRow
from earcli.data.cache import write_skipped
from earcli.data.labels import Labels
from earcli.data.uncached import crop_or_gray
from earcli.files import write_records
from earcli.metrics.landmarks import FAILURE_THRESHOLD
from earcli.reporting.curves import save_errors
from earcli.reporting.drawing import draw_ears
from earcli.reporting.html import ReportImage, ReportTable, write_report
from earcli.reporting.plots import labeled_rows, save_image
from earcli.tasks.evaluation_files import origin, write_metrics

DETECTOR_FILES = ("metrics.json", "per_image.csv", "skipped.csv", "report.html", "worst.png", "errors.png")
WORST, COLUMNS, SIDE = 16, 8, 160
COLUMNS_MEASURED = 3


def normalizer_name(normalize: str) -> str:
    """The length that landmark errors are fractions of, in words.

    >>> normalizer_name("1,2")
    'the distance of points 1,2'
    """
    names = {"box": "the diagonal of the labeled box", "crop": "the side of what the detector sees"}
    return names.get(normalize, f"the distance of points {normalize}")


def write_detector_evaluation(
    folder: Path,
    checkpoint: Path,
    source: str,
    *,
    labels: Labels,
    results: DetectionResults,
    metrics: dict[str, float],
    rows: Sequence[MetricRow],
    normalize: str,
) -> dict[str, Any]:
    """Writes all files of a detector's evaluation.

    Args:
        folder: An empty folder.
        checkpoint: The detector's file.
        source: The manifest of the labels.
        labels, results: The labels and the detector's predictions for them.
        metrics: Metrics by name.
        rows: The metrics as rows of a table.
        normalize: What landmark errors are fractions of.

    Returns:
        The content of `metrics.json`.
    """
    facts = {
        "detector": str(checkpoint),
        "labels": source,
        "ears": f"{int(labels.has_ear.sum())} ({len(labels.skipped)} labels skipped)",
        "points": f"{results.points.shape[1]}; NME in fractions of {normalizer_name(normalize)}",
        **origin(),
    }
    document = {**facts, **metrics}
    write_metrics(folder / "metrics.json", document)
    errors, overlaps = results.nme(normalize), results.iou()
    _write_per_image(folder / "per_image.csv", labels, results, errors, overlaps)
    write_skipped(folder / "skipped.csv", labels.skipped)
    images = _draw_figures(folder, labels, results, errors, overlaps)
    tables = [ReportTable("Metrics", HEADER[:COLUMNS_MEASURED], [row.cells[:COLUMNS_MEASURED] for row in rows])]
    write_report(folder / "report.html", "Evaluation of a detector", facts, [], tables, images)
    return document


def _write_per_image(
    path: Path,
    labels: Labels,
    results: DetectionResults,
    errors: NDArray[np.float64],
    overlaps: NDArray[np.float64],
) -> None:
    ears = np.flatnonzero(labels.has_ear)
    columns = {"nme": errors, "iou": overlaps, "confidence": results.scores[ears].numpy()}
    rows = [
        {"path": labels.manifest.paths[row], **{name: f"{values[ear]:.6g}" for name, values in columns.items()}}
        for ear, row in enumerate(ears)
    ]
    write_records(path, rows)


def _draw_figures(
    folder: Path,
    labels: Labels,
    results: DetectionResults,
    errors: NDArray[np.float64],
    overlaps: NDArray[np.float64],
) -> list[ReportImage]:
    """Draws the worst ears, by NME or, without points, by 1 − IoU, and the distribution of errors."""
    measured = ~np.isnan(errors)
    badness, name = (np.nan_to_num(errors), "NME") if measured.any() else (1 - overlaps, "1 - IoU")
    order = np.argsort(-badness, kind="stable")[:WORST]
    rows = np.flatnonzero(labels.has_ear)[order]
    save_image(folder / "worst.png", _worst_ears(labels, results, rows, badness[order], name))
    images = [ReportImage("Worst ears", "In each pair of rows: labels above, predictions below.", folder / "worst.png")]
    if measured.any():
        save_errors(folder / "errors.png", errors[measured], FAILURE_THRESHOLD)
        caption = "Fraction of ears with at most each error."
        images.append(ReportImage("Errors of all ears", caption, folder / "errors.png"))
    return images


def _worst_ears(
    labels: Labels, results: DetectionResults, rows: NDArray[np.int64], badness: NDArray[np.float64], name: str
) -> NDArray[np.uint8]:
    """Pairs of rows of ears: with their labels, and with the predictions below."""
    windows = results.window[rows].double().numpy()
    crops = [crop_or_gray(labels.manifest.locate(row), box, SIDE)[0] for row, box in zip(rows, windows, strict=True)]
    pixels = np.stack(crops)
    labeled = results.labeled[rows].numpy()
    targets = _draw_in_windows(pixels, windows, results.target_boxes[rows], results.target_points[rows], labeled)
    predictions = _draw_in_windows(pixels, windows, results.boxes[rows], results.points[rows], None)
    sheet: list[tuple[str, list[NDArray[np.uint8]]]] = []
    for start in range(0, len(rows), COLUMNS):
        part = slice(start, start + COLUMNS)
        title = f"{name} {badness[part].max():.1%} to {badness[part].min():.1%}"
        sheet += [(title, list(targets[part])), ("", list(predictions[part]))]
    return labeled_rows(sheet, SIDE)


def _draw_in_windows(
    pixels: NDArray[np.uint8],
    windows: NDArray[np.float64],
    boxes: Tensor,
    points: Tensor,
    drawn: NDArray[np.bool_] | None,
) -> NDArray[np.uint8]:
    """Draws boxes (N, 4) and points (N, K, 2), in pixels of the image, on crops of its windows (N, 4)."""
    start, extent = windows[:, None, :2], windows[:, None, 2:]
    corners = (boxes.numpy()[:, :2] - start[:, 0]) / extent[:, 0]
    sides = boxes.numpy()[:, 2:] / extent[:, 0]
    fractions = (points.numpy() + 0.5 - start) / extent
    return draw_ears(pixels, np.concatenate([corners, sides], 1), fractions, drawn)

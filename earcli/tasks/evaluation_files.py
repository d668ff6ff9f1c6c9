"""The folder that `evaluate` writes for a teacher."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earcli import __version__
from earcli.analysis.encoding import device_of
from earcli.analysis.evaluation import TeacherMeasurements
from earcli.analysis.verdict import HEADER, MetricRow
from earcli.config.teacher import TrainConfig
from earcli.data.batches import as_images, as_pixels
from earcli.data.cache import Crops, write_skipped
from earcli.data.pixels import Pixels, undo_mirroring
from earcli.files import write_records
from earcli.models.vae import EarVAE
from earcli.reporting.html import ReportImage, ReportTable, write_report
from earcli.reporting.plots import save_histogram, save_labeled_rows

TEACHER_FILES = ("metrics.json", "per_image.csv", "skipped.csv", "report.html", "examples.png", "psnr.png", "kl.png")
EXAMPLES = 8
FIGURES = (
    (
        "Best, median and worst ears",
        "In each pair of rows: the ears above, their reconstructions below.",
        "examples.png",
    ),
    ("PSNR of all ears", "Ears on the far left are those that the teacher reconstructs worst.", "psnr.png"),
    ("KL of all latent dimensions", "Dimensions near 0 carry no information.", "kl.png"),
)


def write_teacher_evaluation(
    folder: Path,
    checkpoint: Path,
    model: EarVAE,
    config: TrainConfig,
    source: str,
    crops: Crops,
    measurements: TeacherMeasurements,
    rows: Sequence[MetricRow],
) -> dict[str, Any]:
    """Writes all files of a teacher's evaluation.

    Args:
        folder: An empty folder.
        checkpoint: The teacher's file.
        model: The teacher, in eval mode.
        config: The configuration of its run.
        source: The manifest of the crops.
        crops: The crops that were measured.
        measurements: What was measured on them.
        rows: The metrics as rows of a table.

    Returns:
        The content of `metrics.json`.
    """
    facts = {
        "teacher": str(checkpoint),
        "manifest": source,
        "ears": f"{len(crops)} ({len(crops.skipped)} images skipped)",
        "architecture": f"{config.encoder}, {config.image_size} pixels, {config.latent_dim} learned latent "
        f"dimensions, {config.skeleton_dim} of the skeleton",
        **origin(),
    }
    verdicts = {row.key: row.verdict for row in rows if isinstance(row.verdict, bool)}
    metrics = {**facts, **measurements.metrics, "met": verdicts, "notes": measurements.notes}
    write_metrics(folder / "metrics.json", metrics)
    _write_per_image(folder / "per_image.csv", crops, measurements)
    write_skipped(folder / "skipped.csv", crops.skipped)
    _draw_figures(folder, model, crops, measurements)
    tables = [
        ReportTable(section.capitalize(), HEADER, [row.cells for row in rows if row.section == section])
        for section in dict.fromkeys(row.section for row in rows)
    ]
    images = [ReportImage(title, caption, folder / name) for title, caption, name in FIGURES]
    write_report(folder / "report.html", "Evaluation of a teacher", facts, measurements.notes, tables, images)
    return metrics


def origin() -> dict[str, str]:
    """The version of ear, and the time."""
    return {"ear": __version__, "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Writes metrics as JSON."""
    path.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_per_image(path: Path, crops: Crops, measurements: TeacherMeasurements) -> None:
    columns = {name: values for name, values in measurements.per_image.items() if name != "mse"}
    subjects = crops.manifest.subjects
    rows = [
        {
            "path": image,
            **({} if subjects is None else {"subject": subjects[index]}),
            **{name: f"{values[index]:.6g}" for name, values in columns.items()},
        }
        for index, image in enumerate(crops.manifest.paths)
    ]
    write_records(path, rows)


def _draw_figures(folder: Path, model: EarVAE, crops: Crops, measurements: TeacherMeasurements) -> None:
    psnr = measurements.per_image["psnr"]
    order = np.argsort(-psnr, kind="stable")
    count = min(EXAMPLES, len(order))
    middle = (len(order) - count) // 2
    groups = {"best": order[:count], "median": order[middle : middle + count], "worst": order[len(order) - count :]}
    examples = {
        f"{name}: {psnr[rows].min():.1f} to {psnr[rows].max():.1f} dB": _with_reconstructions(model, crops.pixels, rows)
        for name, rows in groups.items()
    }
    save_labeled_rows(folder / "examples.png", "Ears above, their reconstructions below", examples)
    marks = {"mean": float(psnr.mean()), "median": float(np.median(psnr))}
    save_histogram(folder / "psnr.png", psnr, "Reconstruction", "PSNR, dB", "ears", marks)
    kl = measurements.kl
    marks = {"mean": float(kl.mean())}
    save_histogram(folder / "kl.png", kl, "Latent space", "KL, nats, mean over ears", "dimensions", marks)


def _with_reconstructions(model: EarVAE, pixels: Pixels, rows: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    """The crops at `rows` and their reconstructions, on the sides that the ears have on the images."""
    crops = pixels[rows]
    images = as_images(torch.from_numpy(crops).permute(0, 3, 1, 2)).to(device_of(model))
    with torch.no_grad():
        reconstructions = as_pixels(model(images).reconstruction)
    return [undo_mirroring(pixels, rows, part) for part in (crops, reconstructions)]

"""The folder that `ear evaluate` leaves."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earcli import __version__
from earcli.analysis.encoding import device_of
from earcli.analysis.evaluation import Evaluation
from earcli.analysis.verdict import Line
from earcli.data.batches import as_images, as_pixels
from earcli.data.cache import Crops, write_skipped
from earcli.files import write_records
from earcli.reporting.html import ReportPicture, ReportTable, write_report
from earcli.reporting.plots import save_histogram, save_labeled_rows
from earcli.tasks.sources import Teacher

FILES = ("metrics.json", "per_image.csv", "skipped.csv", "report.html", "examples.png", "psnr.png", "kl.png")
SHOWN = 8
HEADER = (("", 0), ("measured", 0), ("95% interval", 80), ("target", 60), ("verdict", 0))


def write_evaluation(
    folder: Path, teacher: Teacher, source: str, crops: Crops, evaluation: Evaluation, lines: Sequence[Line]
) -> str:
    """Writes every file and returns what `metrics.json` holds.

    Args:
        source: the manifest that the crops come from.
    """
    facts = {
        "teacher": str(teacher.path),
        "manifest": source,
        "ears": f"{len(crops)} ({len(crops.skipped)} pictures left out)",
        "architecture": f"{teacher.config.resnet_version}, {teacher.config.image_size} pixels, "
        f"latent space of {teacher.config.latent_dim}",
        "ear": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    verdicts = {line.key: line.verdict for line in lines if isinstance(line.verdict, bool)}
    document = json.dumps(
        {**facts, **evaluation.metrics, "met": verdicts, "notes": evaluation.notes}, indent=1, allow_nan=False
    )
    (folder / "metrics.json").write_text(document + "\n", encoding="utf-8")
    _write_rows(folder, crops, evaluation)
    _draw(folder, teacher, crops, evaluation)
    tables = [
        ReportTable(
            part.capitalize(), [name for name, _ in HEADER], [line.cells for line in lines if line.part == part]
        )
        for part in dict.fromkeys(line.part for line in lines)
    ]
    write_report(
        folder / "report.html", "How well a teacher knows ears", facts, evaluation.notes, tables, _pictures(folder)
    )
    return document


def _write_rows(folder: Path, crops: Crops, evaluation: Evaluation) -> None:
    columns = {name: values for name, values in evaluation.images.items() if name != "mse"}
    subjects = crops.manifest.subjects
    rows = [
        {
            "path": path,
            **({} if subjects is None else {"subject": subjects[index]}),
            **{name: f"{values[index]:.6g}" for name, values in columns.items()},
        }
        for index, path in enumerate(crops.manifest.paths)
    ]
    write_records(folder / "per_image.csv", rows)
    write_skipped(folder / "skipped.csv", crops.skipped)


def _draw(folder: Path, teacher: Teacher, crops: Crops, evaluation: Evaluation) -> None:
    psnr = evaluation.images["psnr"]
    order = np.argsort(-psnr, kind="stable")
    shown = min(SHOWN, len(order))
    middle = (len(order) - shown) // 2
    groups = {"best": order[:shown], "median": order[middle : middle + shown], "worst": order[len(order) - shown :]}
    save_labeled_rows(
        folder / "examples.png",
        "Ears above, what the teacher makes of them below",
        {
            f"{name}: {psnr[rows].min():.1f} to {psnr[rows].max():.1f} dB": _both(teacher, crops.pixels[rows])
            for name, rows in groups.items()
        },
    )
    marks = {"mean": float(psnr.mean()), "median": float(np.median(psnr))}
    save_histogram(folder / "psnr.png", psnr, "Reconstruction", "PSNR, dB", "ears", marks)
    marks = {"mean": float(evaluation.kl.mean())}
    save_histogram(folder / "kl.png", evaluation.kl, "Latent space", "KL, nats, mean over ears", "dimensions", marks)


def _both(teacher: Teacher, pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Crops, and what the teacher makes of them."""
    images = as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2)).to(device_of(teacher.model))
    with torch.no_grad():
        return [pixels, as_pixels(teacher.model(images).reconstruction)]


def _pictures(folder: Path) -> list[ReportPicture]:
    shown = (
        ("Best, median and worst ears", "Each pair of rows: the ear above, its reconstruction below.", "examples.png"),
        ("PSNR of every ear", "Far to the left are the ears that the teacher knows least.", "psnr.png"),
        ("KL of every latent dimension", "A bar at 0 counts dimensions that say nothing.", "kl.png"),
    )
    return [ReportPicture(title, caption, folder / name) for title, caption, name in shown]

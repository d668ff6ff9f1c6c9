"""What `ear evaluate` does with a detector."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from earcli import __version__
from earcli.analysis.detection import DetectionResults, detect, mean_shape_nme
from earcli.data.cache import write_skipped
from earcli.data.labels import Labels, read_labels
from earcli.data.uncached import crop_or_gray
from earcli.data.views import view_dataset
from earcli.errors import ConfigError, EarError
from earcli.files import atomic_folder, write_records
from earcli.metrics.intervals import bootstrap_interval
from earcli.metrics.landmarks import FAILED_ABOVE
from earcli.reporting.console import ProgressBar, Report, show_table
from earcli.reporting.curves import save_errors
from earcli.reporting.drawing import draw_ears
from earcli.reporting.html import ReportPicture, ReportTable, write_report
from earcli.reporting.plots import labeled_rows, save_image
from earcli.tasks.sources import Detector, load_detector, note_skipped

FILES = ("metrics.json", "per_image.csv", "skipped.csv", "report.html", "worst.png", "errors.png")
WORST, COLUMNS, SIDE = 16, 8, 160
NAMES = {
    "nme": "NME",
    "failure_rate": f"NME above {FAILED_ABOVE:.0%}",
    "auc": f"AUC up to {FAILED_ABOVE:.0%}",
    "iou": "IoU",
    "ap50": "AP at 0.5",
    "ap": "AP at 0.5:0.95",
}


@dataclass(frozen=True)
class Request:
    """What is asked for, by the flags of `ear evaluate`."""

    manifest: Path | None
    root_dir: Path | None
    output: Path | None
    normalize: str
    batch_size: int
    num_workers: int
    device: str
    seed: int
    run_dir: Path
    as_json: bool


def evaluate_detector(path: Path, request: Request) -> None:
    """Measures a detector on labels, beside the mean shape, and draws its worst cases."""
    console = Console(stderr=request.as_json)
    with ProgressBar(console) as progress:
        report = Report(console, progress)
        detector = load_detector(str(path), request.run_dir, request.device)
        config = detector.config
        report.note(f"detector {path}")
        source = request.manifest or config.val_manifest
        place = detector.results(request.output, "evaluation")
        with atomic_folder(place, FILES) as folder:
            root = request.root_dir or (config.root_dir if request.manifest is None else None)
            labels = read_labels(source, root, config.shape[1])
            dataset, labels = view_dataset(
                labels,
                config.shape[0],
                config.seen_margin,
                vary=False,
                folder=detector.cache(request.run_dir) / ".cache",
                workers=request.num_workers,
                progress=progress,
            )
            note_skipped(labels.skipped, report, "labels in all; skipped.csv lists them")
            report.note(f"{int(labels.has_ear.sum())} labeled ears of {source}")
            findings = detect(detector.model, dataset, request.batch_size, progress)
            _check_normalizer(request.normalize, findings)
            metrics = _metrics(findings, detector, request)
            document = _write(folder, detector, str(source), labels, findings, metrics, request.normalize)
    if request.as_json:
        typer.echo(document)
    else:
        show_table(console, *_table(metrics))
        report.note(f"NME is in {_unit(request.normalize)}")
        report.note(f"results {place}: report.html, metrics.json, per_image.csv, worst.png, errors.png")


def _check_normalizer(text: str, findings: DetectionResults) -> None:
    count = findings.points.shape[1]
    parts = text.split(",")
    pair = len(parts) == 2 and all(part.strip().isdecimal() and 1 <= int(part) <= count for part in parts)
    if text not in ("box", "crop") and not (pair and len(set(map(int, parts))) == 2):
        raise ConfigError(
            f"--normalize must be box, crop, or two of the points 1 to {count} such as 1,2, got {text!r}."
        )


def _unit(normalize: str) -> str:
    shares = {"box": "the diagonal of the labeled box", "crop": "the side of what the detector is shown"}
    return f"shares of {shares.get(normalize, f'the distance of points {normalize}')}"


def _metrics(findings: DetectionResults, detector: Detector, request: Request) -> dict[str, Any]:
    """Figures by name; `nme` and `iou` with their 95% interval, over ears."""
    metrics: dict[str, Any] = dict(findings.summary(request.normalize))
    for name, each in (("nme", findings.nme(request.normalize)), ("iou", findings.iou())):
        known = each[~np.isnan(each)]
        if len(known) and name in metrics:
            low, high = bootstrap_interval(known[:, None], seed=request.seed)[:, 0]
            metrics[f"{name}_low"], metrics[f"{name}_high"] = float(low), float(high)
    if "nme" in metrics and request.normalize == "box":
        try:
            config = detector.config
            train = read_labels(config.train_manifest, config.root_dir, config.shape[1])
        except EarError:
            return metrics  # what it is compared with informs; the detector can be measured without
        metrics["nme_of_mean_shape"] = float(np.nanmean(mean_shape_nme(findings, train)))
    return metrics


def _table(metrics: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, shown in NAMES.items():
        if name in metrics:
            form = ".2%" if name in ("nme", "failure_rate") else ".3f"
            ends = [metrics.get(f"{name}_{end}") for end in ("low", "high")]
            interval = " to ".join(format(end, form) for end in ends if end is not None)
            rows.append([shown, format(metrics[name], form), interval])
    if "nme_of_mean_shape" in metrics:
        rows.append(["NME of the mean shape", f"{metrics['nme_of_mean_shape']:.2%}", ""])
    return ["", "measured", "95% interval"], rows


def _write(
    folder: Path,
    detector: Detector,
    source: str,
    labels: Labels,
    findings: DetectionResults,
    metrics: dict[str, Any],
    normalize: str,
) -> str:
    """Writes every file, and returns what `metrics.json` holds."""
    config = detector.config
    facts = {
        "detector": str(detector.path),
        "labels": source,
        "ears": f"{int(labels.has_ear.sum())} ({len(labels.skipped)} left out)",
        "points": f"{config.shape[1]}; NME in {_unit(normalize)}",
        "ear": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    document = json.dumps({**facts, **metrics}, indent=1, allow_nan=False)
    (folder / "metrics.json").write_text(document + "\n", encoding="utf-8")
    ears = np.flatnonzero(labels.has_ear)
    errors, overlaps = findings.nme(normalize), findings.iou()
    rows = [
        {
            "path": labels.manifest.paths[row],
            "nme": f"{error:.6g}",
            "iou": f"{overlap:.6g}",
            "confidence": f"{score:.6g}",
        }
        for row, error, overlap, score in zip(ears, errors, overlaps, findings.scores[ears].tolist(), strict=True)
    ]
    write_records(folder / "per_image.csv", rows)
    write_skipped(folder / "skipped.csv", labels.skipped)
    badness = 1 - overlaps if np.isnan(errors).all() else np.nan_to_num(errors)
    order = np.argsort(-badness, kind="stable")[:WORST]
    _draw_worst(folder / "worst.png", labels, findings, ears[order], badness[order])
    pictures = [ReportPicture("Worst ears", "Labels above, what the detector finds below.", folder / "worst.png")]
    if not np.isnan(errors).all():
        save_errors(folder / "errors.png", errors[~np.isnan(errors)], FAILED_ABOVE)
        pictures.append(ReportPicture("All ears", "How many have at most which error.", folder / "errors.png"))
    header, cells = _table(metrics)
    tables = [ReportTable("What was measured", header, cells)]
    write_report(folder / "report.html", "How well a detector knows ears", facts, [], tables, pictures)
    return document


def _draw_worst(
    path: Path, labels: Labels, findings: DetectionResults, rows: NDArray[np.int64], badness: NDArray[np.float64]
) -> None:
    window = findings.window[rows].double().numpy()
    shown = [crop_or_gray(labels.manifest.locate(row), box, SIDE) for row, box in zip(rows, window, strict=True)]
    pixels = np.stack([crop for crop, _ in shown])

    def drawn(boxes: Any, points: Any, shown: Any = None) -> NDArray[np.uint8]:
        start, extent = window[:, None, :2], window[:, None, 2:]
        corner = (boxes[rows].double().numpy()[:, :2] - start[:, 0]) / extent[:, 0]
        sides = boxes[rows].double().numpy()[:, 2:] / extent[:, 0]
        places = (points[rows].double().numpy() + 0.5 - start) / extent
        return draw_ears(pixels, np.concatenate([corner, sides], 1), places, shown)

    wanted = drawn(findings.wanted_boxes, findings.wanted_points, findings.labeled[rows].numpy())
    found = drawn(findings.boxes, findings.points)
    rows_of: list[tuple[str, list[NDArray[np.uint8]]]] = []
    for begin in range(0, len(rows), COLUMNS):
        part = slice(begin, begin + COLUMNS)
        rows_of += [(f"{badness[part].max():.1%} to {badness[part].min():.1%}", list(wanted[part]))]
        rows_of += [("", list(found[part]))]
    save_image(path, labeled_rows(rows_of, SIDE))

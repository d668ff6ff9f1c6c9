"""Predicting ears and their landmarks."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earcli.config.fields import at_least, between, one_of, require
from earcli.errors import ConfigError, DataError, RunError
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from earcli.data.cache import Skipped


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class PredictResult:
    """The predictions of a detector.

    Attributes:
        output: Folder of the results: `predictions.json` (COCO), `predictions.csv`, `pictures/`, and the file or folder
            of `format`.
        crops: Folder of the cropped ears, if asked for.
        threshold: Least confidence of the ears that were drawn and cropped.
        pictures: Number of images that were read.
        ears: Number of ears that were drawn.
        skipped: The images that could not be read.
    """

    output: Path
    crops: Path | None
    threshold: float
    pictures: int
    ears: int
    skipped: list[SkippedImage]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        crops = None if self.crops is None else str(self.crops)
        return {**asdict(self), "output": str(self.output), "crops": crops}


def predict(
    sources: Sequence[str | Path],
    *,
    checkpoint: str | Path = "best",
    output: str | Path = "predictions",
    format: str = "coco",
    crops: str | Path | None = None,
    threshold: float = 0.5,
    root_dir: str | Path | None = None,
    run_dir: str | Path = "runs",
    batch_size: int = 32,
    num_workers: int = 4,
    device: str = "auto",
    reporter: Reporter = SILENT,
) -> PredictResult:
    """Predict the ear and its landmarks in images; write COCO JSON, CSV and annotated images.

    Args:
        sources: Folders, image files, manifests. A box in a manifest restricts the search to it; labels in a folder
            are not read.
        checkpoint: A detector: a file, a run's folder, or last.ckpt or best of the newest run that trained one.
        output: Folder of the results; predictions that it already holds are replaced.
        format: Labels for an annotation tool: cvat, label-studio, labelme or yolo, with names relative to the folder of
            the images. COCO JSON and CSV are always written.
        crops: New folder for the cropped ears.
        threshold: Least confidence of an ear that is drawn, cropped and written for an annotation tool; COCO JSON and
            CSV have all predictions.
        root_dir: Folder that a manifest's relative paths start from. By default its own.
        run_dir: Folder of all runs.
        batch_size: Images per batch.
        num_workers: Threads that decode images.
        device: Device of the model: auto, cpu, cuda, mps, or one with a number such as cuda:1. auto is CUDA if
            available, else the CPU.
        reporter: Receives notes and progress.

    Raises:
        ConfigError: A parameter is out of range, or `crops` lies in `output`.
        CheckpointError: There is no such checkpoint, or it cannot be used.
        DataError: There is no image, or none can be read.
        RunError: A folder of the results holds other files, or cannot be written.

    Example:
        >>> import earcli
        >>> result = earcli.predict(["photos"], checkpoint="best", output="predictions")  # doctest: +SKIP
        >>> result.pictures, result.ears  # doctest: +SKIP
        (40, 38)
    """
    require(at_least(1), batch_size=batch_size, num_workers=num_workers)
    require(between(0, 1), threshold=threshold)
    require(one_of("coco", "csv", "cvat", "label-studio", "labelme", "yolo"), format=format)
    output, crops = Path(output), None if crops is None else Path(crops)
    _check_folders(output, crops)
    from earcli.analysis.encoding import choose_device
    from earcli.analysis.prediction import predict_images
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.data.inputs import collect_pictures
    from earcli.files import atomic_folder
    from earcli.tasks.inputs import report_manifest, report_skipped
    from earcli.tasks.prediction_files import PREDICTION_FILES, PredictionWriter

    root = None if root_dir is None else Path(root_dir)
    unusable: list[Skipped] = []
    manifest = collect_pictures([Path(s) for s in sources], root, unusable.append, whole_pictures=True)
    report_manifest(manifest, "boxes", reporter)
    opened = Checkpoint.open(checkpoint, "detector", run_dir=run_dir)
    config = opened.detector_config
    model = opened.detector(choose_device(device))
    reporter.note(f"detector {opened.path}")
    crops_folder = nullcontext() if crops is None else atomic_folder(crops)
    with atomic_folder(output, PREDICTION_FILES) as folder, crops_folder as cropped:
        writer = PredictionWriter(folder, output, cropped, manifest, config.point_names, threshold, format)
        writer.skipped += unusable
        predictions = predict_images(
            model,
            manifest,
            side=config.side,
            margin=config.view_margin,
            batch_size=batch_size,
            workers=num_workers,
            progress=reporter.progress,
        )
        writer.write(predictions)
        if not writer.predictions:
            first = writer.skipped[0]
            raise DataError(f"None of {len(writer.skipped)} pictures can be read, first {first.path}: {first.reason}.")
    report_skipped(writer.skipped, reporter, f"of {len(writer.predictions) + len(writer.skipped)} pictures")
    skipped = [SkippedImage(item.path, item.reason) for item in writer.skipped]
    return PredictResult(output, crops, threshold, len(writer.predictions), writer.ears, skipped)


def _check_folders(output: Path, crops: Path | None) -> None:
    if output.is_dir() and any(output.iterdir()) and not (output / "predictions.json").is_file():
        raise RunError(f"{output} holds files that ear predict did not put there. Use another folder as `output`.")
    if crops is not None and crops.resolve().is_relative_to(output.resolve()):
        raise ConfigError(f"`crops` {crops} lies in `output` {output}, which is replaced as a whole.")

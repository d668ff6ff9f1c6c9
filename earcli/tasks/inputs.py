"""What several tasks read: the crops of a manifest, and the sets of the run that a checkpoint comes from."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from earcli.errors import ManifestError

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.data.cache import Crops, Skipped
    from earcli.data.manifest import Manifest
    from earcli.models.vae import EarVAE
    from earcli.reporting.reporter import Reporter

SHOWN_SKIPPED = 3


def read_crops(
    manifest: "Manifest", size: int, run_dir: Path | None, workers: int, reporter: "Reporter", *, verify: bool = False
) -> "Crops":
    """The crops of a manifest, through the pixel cache under `run_dir`, or without a cache for None.

    Args:
        manifest: The samples.
        size: Side of the square crops in pixels.
        run_dir: Folder of all runs, which holds the cache.
        workers: Threads that decode.
        reporter: Receives progress and what was skipped.
        verify: Verify every byte of the cache.

    Raises:
        DataError: More than 5% of the pictures cannot be used.
        RunError: The cache cannot be written.
    """
    from earcli.data.cache import load_crops
    from earcli.data.uncached import decode_crops

    if run_dir is None:
        crops = decode_crops(manifest, size, workers, reporter.progress)
    else:
        crops = load_crops(manifest, size, run_dir / ".cache", workers, reporter.progress, verify=verify)
    report_skipped(crops.skipped, reporter, f"of {len(manifest)} pictures; skipped.csv lists them")
    return crops


def report_manifest(manifest: "Manifest", name: object, reporter: "Reporter") -> None:
    """Reports what was done to the labels of a manifest, and how many of its pictures have none."""
    for note in manifest.describe_changes(name):
        reporter.note(note)
    if manifest.unlabeled:
        reporter.note(f"{name}: {len(manifest.unlabeled)} pictures without a label are left out")


def report_skipped(skipped: "Sequence[Skipped]", reporter: "Reporter", rest: str) -> None:
    """Reports the first pictures or labels that were skipped, and the number of all of them followed by `rest`."""
    for item in skipped[:SHOWN_SKIPPED]:
        reporter.note(f"skipped {item.path}: {item.reason}")
    if len(skipped) > SHOWN_SKIPPED:
        reporter.note(f"skipped {len(skipped)} {rest}")


def cache_folder(checkpoint: "Checkpoint", run_dir: Path) -> Path:
    """The folder of runs whose pixel cache is used: that of the checkpoint if it is writable, else `run_dir`."""
    run = checkpoint.run
    home = run_dir if run is None else run.path.parents[1]
    return home if os.access(home, os.W_OK) else run_dir


def validation_set(checkpoint: "Checkpoint", manifest: str | Path | None, root_dir: str | Path | None) -> "Manifest":
    """The pictures of a given manifest, or else those that the teacher's run validated on.

    Raises:
        ManifestError: The manifest cannot be read, or the run's is gone.
    """
    config = checkpoint.config
    return _teacher_set(checkpoint, manifest, root_dir, config.val_manifest, "limit_val", "manifest")


def training_set(
    checkpoint: "Checkpoint", manifest: str | Path | None, root_dir: str | Path | None, parameter: str
) -> "Manifest":
    """The pictures of a given manifest, or else those that the teacher's run trained on.

    Args:
        parameter: The caller's name for `manifest`, for the error message.

    Raises:
        ManifestError: The manifest cannot be read, or the run's is gone.
    """
    config = checkpoint.config
    return _teacher_set(checkpoint, manifest, root_dir, config.train_manifest, "limit_train", parameter)


def _teacher_set(
    checkpoint: "Checkpoint",
    manifest: str | Path | None,
    root_dir: str | Path | None,
    default: Path,
    limit: str,
    parameter: str,
) -> "Manifest":
    from earcli.data.manifest import read_manifest

    root = None if root_dir is None else Path(root_dir)
    if manifest is not None:
        return read_manifest(Path(manifest), root)
    if not default.is_file():
        raise ManifestError(
            f"{default}, which the run of {checkpoint.path} names, does not exist. "
            f"Give `{parameter}`, and `root_dir` if the pictures have moved."
        )
    config = checkpoint.config
    return read_manifest(default, root or config.root_dir).limit(getattr(config, limit), config.seed)


def teacher_crops(
    checkpoint: "Checkpoint", model: "EarVAE", manifest: "Manifest", run_dir: Path, workers: int, reporter: "Reporter"
) -> "Crops":
    """Crops as the teacher's networks see them: at its image size, and with right ears mirrored if it mirrors them.

    They are read through the cache that its training used, if any.

    Args:
        checkpoint: The teacher's.
        model: The teacher.
        manifest: The samples.
        run_dir: Folder of all runs, for a checkpoint outside a run folder.
        workers: Threads that decode.
        reporter: Receives progress and what was skipped.
    """
    from earcli.analysis.laterality import mirror_right_ears
    from earcli.config.teacher import TrainConfig

    config = checkpoint.config
    assert isinstance(config, TrainConfig)
    cache = None if config.no_cache else cache_folder(checkpoint, run_dir)
    crops = read_crops(manifest, config.image_size, cache, workers, reporter)
    if model.laterality is None:
        return crops
    return mirror_right_ears(model.laterality, crops).crops


def report_ears(crops: "Crops", source: str, reporter: "Reporter") -> None:
    """Reports the number of crops, their source, and how many of them are mirrored."""
    from earcli.data.pixels import MirroredPixels

    pixels = crops.pixels
    mirrored = f"; {int(pixels.mirrored.sum())} right ears are mirrored" if isinstance(pixels, MirroredPixels) else ""
    reporter.note(f"{len(crops)} ears of {source}{mirrored}")

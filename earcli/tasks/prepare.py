"""Preparing a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earcli.config.fields import at_least, require
from earcli.curation.left_out import LeftOut
from earcli.reporting.reporter import SILENT, Reporter


@dataclass(frozen=True)
class PrepareResult:
    """A prepared dataset.

    Attributes:
        output: Its folder.
        train_manifest, val_manifest: The `.npy` manifests, for `earcli.train`.
        manifests: All manifests: `.npy`, `.csv` and, with boxes or keypoints, `.coco.json`.
        train_count, val_count: The number of ears in each part.
        left_out: What is excluded, and why; `left_out.csv` has the same rows.
    """

    output: Path
    train_manifest: Path
    val_manifest: Path
    manifests: list[Path]
    train_count: int
    val_count: int
    left_out: list[LeftOut]


def prepare(
    sources: Sequence[str | Path],
    output: str | Path = "data/preprocessed",
    *,
    task: str = "teacher",
    subject: str = "none",
    split: float = 0.8,
    seed: int = 0,
    root_dir: str | Path | None = None,
    num_workers: int = 4,
    reporter: Reporter = SILENT,
) -> PrepareResult:
    """Collect ears from any layout, exclude what cannot be used, and split the rest without leaks.

    Args:
        sources: Folders of pictures and annotations, searched recursively; or .npy, .csv, .json files.
        output: Folder to create; new or empty.
        task: teacher (every ear), detector (ears with a box), landmarks (ears with keypoints).
        subject: How people are told apart: folder (the picture's folder), a regular expression for its path whose first
            group is the person, or none.
        split: Fraction of the ears for training; the rest is for validation.
        seed: Seed of the split.
        root_dir: Folder that paths in annotations are resolved against and must not leave. By default they are resolved
            against the annotation's folder and must stay in their source.
        num_workers: Threads that open pictures.
        reporter: Receives progress.

    Raises:
        ConfigError: A value is invalid.
        DataError: No picture was found, none can be used, or all ears are related.
        RunError: The folder is not empty, or cannot be written.

    Example:
        >>> import tempfile, earcli
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ears = earcli.synth(folder + "/ears", count=10)
        ...     result = earcli.prepare([folder + "/ears/images"], folder + "/prepared")
        ...     result.train_count, result.val_count
        (8, 2)
    """
    require(at_least(0), seed=seed)
    require(at_least(1), num_workers=num_workers)
    from earcli.curation.data_card import write_prepared
    from earcli.curation.preparation import PrepareOptions, prepare_dataset
    from earcli.files import atomic_folder, check_empty_folder

    output = Path(output)
    options = PrepareOptions(task, subject, split, seed, None if root_dir is None else Path(root_dir), num_workers)
    check_empty_folder(output)
    scan_log = output.parent / f".{output.name}.scan.jsonl"
    prepared = prepare_dataset([Path(source) for source in sources], options, reporter.progress, scan_log)
    with atomic_folder(output) as folder:
        names = write_prepared(folder, output, prepared, options)
    scan_log.unlink(missing_ok=True)
    val_count = int(prepared.held_out.sum())
    return PrepareResult(
        output,
        output / f"train_{task}.npy",
        output / f"val_{task}.npy",
        [output / name for name in names],
        len(prepared.samples) - val_count,
        val_count,
        prepared.left_out,
    )

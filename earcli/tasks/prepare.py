"""Preparing a training and a validation set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earcli.config.fields import at_least, one_of, require
from earcli.data.left_out import LeftOut
from earcli.errors import ConfigError, LabelError
from earcli.reporting.reporter import SILENT, Reporter

TASKS = ("teacher", "detector", "landmarks")


@dataclass(frozen=True)
class PrepareResult:
    """A training and a validation set.

    Attributes:
        output: The folder, which also holds `data_card.md`, `contact_sheet.png` and `left_out.csv`.
        train_manifest, val_manifest: The manifests for `earcli.train`, or for `earcli.finetune`.
        manifests: The manifests of both parts in all formats.
        train_count, val_count: The numbers of ears.
        left_out: What is excluded, and why.
    """

    output: Path
    train_manifest: Path
    val_manifest: Path
    manifests: list[Path]
    train_count: int
    val_count: int
    left_out: list[LeftOut]


def prepare(
    sources: str | Path | Sequence[str | Path],
    output: str | Path = "data/preprocessed",
    *,
    task: str = "teacher",
    subject: str = "none",
    split: float = 0.8,
    seed: int = 0,
    category: str | None = None,
    whole_pictures: bool = False,
    root_dir: str | Path | None = None,
    num_workers: int = 4,
    reporter: Reporter = SILENT,
) -> PrepareResult:
    """Collect ears from images and annotations, exclude what cannot be used, and split them without leaks.

    Args:
        sources: Folders of images and annotations, searched recursively; or annotation files.
        output: Folder to create; new or empty.
        task: teacher (all ears), detector (ears with a box) or landmarks (ears with keypoints).
        subject: How to tell people apart: folder (the folder of an image), a regular expression for its path whose
            first group is the person, or none.
        split: Fraction of the ears used for training; the others are for validation.
        seed: Seed of the split.
        category: Name of the annotations that are ears, where a file has several; separate several by commas.
        whole_pictures: Ignore all annotations: every image is one ear.
        root_dir: Folder that paths in annotations are relative to and confined to. By default they are relative to
            the annotation file and confined to its source.
        num_workers: Threads that open images.
        reporter: Receives progress.

    Raises:
        ConfigError: A parameter is out of range, or `subject` is not a valid rule.
        LabelError: A file that looks like labels cannot be used, or has several categories.
        DataError: There is no image, no ear can be used, or all ears are related and cannot be split.
        RunError: The folder is not empty, or cannot be written.

    Example:
        >>> import tempfile, earcli
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ears = earcli.synth(folder + "/ears", count=5)
        ...     result = earcli.prepare(folder + "/ears", folder + "/set")
        ...     result.train_count, result.val_count, result.train_manifest.name
        (4, 1, 'train_teacher.npy')
    """
    require(one_of(*TASKS), task=task)
    require(at_least(0), seed=seed)
    require(at_least(1), num_workers=num_workers)
    require(lambda value: None if 0 < value < 1 else "more than 0 and less than 1", split=split)
    root_dir = None if root_dir is None else Path(root_dir)
    if root_dir is not None and not root_dir.is_dir():
        raise ConfigError(f"`root_dir` {root_dir} is not a folder.")
    from earcli.curation.data_card import write_prepared
    from earcli.curation.preparation import PrepareOptions, prepare_set
    from earcli.files import atomic_folder, check_empty_folder

    output = Path(output)
    check_empty_folder(output)
    paths = [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]
    options = PrepareOptions(task, subject, split, seed, root_dir, num_workers, category, whole_pictures)
    scan_log = output.parent / f".{output.name}.scan.jsonl"  # a killed call continues from it
    try:
        prepared = prepare_set(paths, options, reporter.progress, scan_log)
    except LabelError as error:
        raise LabelError(f"{error} With `whole_pictures`, labels are ignored.") from error
    for note in prepared.notes:
        reporter.note(note)
    with atomic_folder(output) as folder:
        names = write_prepared(folder, output, prepared, options)
    scan_log.unlink(missing_ok=True)
    val_count = int(prepared.is_validation.sum())
    suffix = ".npy" if task == "teacher" else ".coco.json"
    return PrepareResult(
        output,
        output / f"train_{task}{suffix}",
        output / f"val_{task}{suffix}",
        [output / name for name in names],
        len(prepared.samples) - val_count,
        val_count,
        prepared.left_out,
    )

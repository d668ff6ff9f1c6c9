"""Reading what a command is given: annotation files, folders, pictures."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from earcli.data.cache import Skipped
from earcli.data.formats.registry import SUFFIXES as LABEL_SUFFIXES
from earcli.data.manifest import Manifest, read_manifest
from earcli.data.sources import collect_samples
from earcli.errors import DataError, LabelError

OnSkipped = Callable[[Skipped], None]
"""Called with each picture or label that cannot be used; its index is -1."""


def read_source(
    source: Path,
    root: Path | None,
    on_skipped: OnSkipped,
    category: str | None = None,
    whole_pictures: bool = False,
) -> Manifest:
    """Reads one annotation file, folder or picture. A box of NaN is the whole picture.

    The pictures of an annotation file need not exist; those of a folder do.

    Args:
        source: The file or folder.
        root: Folder that relative paths in annotation files start from; None is each file's own.
        on_skipped: Called with each picture or label that cannot be used.
        category: See `collect_samples`.
        whole_pictures: See `collect_samples`.

    Raises:
        DataError: The source does not exist, or has no picture.
        ManifestError: An annotation file cannot be used.
        LabelError: A file that looks like labels cannot be used, or has several categories.
    """
    is_set = source.suffix.lower() in LABEL_SUFFIXES and source.suffix.lower() != ".pts" and not source.is_dir()
    if is_set and category is None:
        return read_manifest(source, root, lambda reason: on_skipped(Skipped(-1, str(source), reason)))
    contents = collect_samples([source], lambda below: "", root, category, whole_pictures)
    for item in contents.left_out:
        on_skipped(Skipped(-1, item.path or item.source, item.reason))
    start, samples = (source if source.is_dir() else source.parent).resolve(), contents.samples
    changes = [sample.change for sample in samples]
    return Manifest(
        [os.path.relpath(sample.path, start) for sample in samples],
        np.array([sample.box for sample in samples]).reshape(-1, 4),
        [sample.subject for sample in samples] if any(sample.subject for sample in samples) else None,
        keypoints=[s.keypoints for s in samples] if any(s.keypoints is not None for s in samples) else None,
        empty=tuple(os.path.relpath(name, start) for name in contents.empty),
        root=start,
        changes=changes if any(changes) else None,
    )


def collect_pictures(
    sources: Sequence[Path],
    root: Path | None,
    on_skipped: OnSkipped,
    category: str | None = None,
    whole_pictures: bool = False,
) -> Manifest:
    """The ears of all sources, or their whole pictures, in the given order; see `read_source`.

    Paths of the result are absolute; a subject that no source names is empty.

    Raises:
        DataError: A source does not exist, or there is no picture in any.
        ManifestError: An annotation file cannot be used.
        LabelError: A file that looks like labels cannot be used, or has several categories.
    """
    parts, reasons = [], []
    for source in sources:
        try:
            parts.append(read_source(source, root, on_skipped, category, whole_pictures))
        except LabelError:
            raise
        except DataError as error:
            if not source.exists():
                raise
            reasons.append(error)
    if not any(map(len, parts)):
        raise reasons[0] if reasons else DataError(f"No picture in {', '.join(map(str, sources))}.")
    subjects = [name for part in parts for name in part.subjects or [""] * len(part)]
    sides = [part.side(row) for part in parts for row in range(len(part))]
    changes = [change for part in parts for change in part.changes or [""] * len(part)]
    image_ids = parts[0].image_ids if len(parts) == 1 else None  # those of two files may collide
    return Manifest(
        [str(part.locate(row).absolute()) for part in parts for row in range(len(part))],
        np.concatenate([part.boxes for part in parts]),
        subjects if any(subjects) else None,
        image_ids=image_ids,
        sides=sides if any(sides) else None,
        root=Path("/"),
        changes=changes if any(changes) else None,
    )

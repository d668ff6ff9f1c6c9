"""Collects pictures from folders, files and manifests into one manifest."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from earcli.data.formats.registry import SUFFIXES as LABEL_SUFFIXES
from earcli.data.images import SUFFIXES
from earcli.data.manifest import Manifest, read_manifest
from earcli.data.walker import walk_files
from earcli.errors import DataError

RESULTS = "folders of results"


def collect_pictures(sources: Sequence[Path], root: Path | None = None) -> Manifest:
    """The pictures of all sources in the given order; folders are searched recursively and sorted by name.

    Paths of the result are absolute; a subject that no manifest names is empty.

    Args:
        sources: Folders, picture files, manifests.
        root: Folder that relative paths of manifests are resolved against; None is each manifest's own.

    Raises:
        DataError: A source does not exist, or there is no picture in any.
        ManifestError: A manifest is malformed.
    """
    paths: list[str] = []
    boxes = []
    subjects: list[str] = []
    others: Counter[str] = Counter()
    for source in sources:
        if source.suffix.lower() in LABEL_SUFFIXES and source.is_file():
            manifest = read_manifest(source, root)
            paths += [str(manifest.locate(index).absolute()) for index in range(len(manifest))]
            boxes.append(manifest.boxes)
            subjects += manifest.subjects or [""] * len(manifest)
            continue
        pictures = _list_pictures(source, others)
        paths += pictures
        boxes.append(np.full((len(pictures), 4), np.nan))
        subjects += [""] * len(pictures)
    if not paths:
        other = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in others.most_common(3))
        raise DataError(
            f"No picture in {', '.join(map(str, sources))} (expected {' '.join(SUFFIXES)}; "
            f"found {other or 'no files'}). Give pictures, folders of pictures, or a manifest."
        )
    return Manifest(paths, np.concatenate(boxes), subjects if any(subjects) else None, Path("/"))


def _list_pictures(source: Path, others: Counter[str]) -> list[str]:
    """The absolute paths of a folder's pictures, or of one file; other files are counted by suffix in `others`."""
    if source.is_file():
        return [str(source.absolute())]
    if not source.is_dir():
        raise DataError(f"{source} does not exist. Give pictures, folders of pictures, or a manifest.")
    pictures = []
    for path in walk_files(source.absolute(), _stop, lambda folder: others.update([RESULTS])):
        if path.lower().endswith(SUFFIXES):
            pictures.append(path)
        else:
            others[Path(path).suffix.lower()] += 1
    return pictures


def _stop(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror}).") from error

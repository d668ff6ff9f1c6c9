"""From what a user names on the command line - folders, pictures, manifests - to one set."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from earcli.data.images import SUFFIXES
from earcli.data.manifest import READERS, Manifest, read_manifest
from earcli.errors import DataError


def collect_pictures(sources: Sequence[Path], root: Path | None = None) -> Manifest:
    """The pictures of all sources, in the order given: manifests as they are, folders recursively and sorted by name.

    Paths of the result are absolute; the subject is empty where no manifest names one.

    Args:
        sources: folders, picture files, manifests.
        root: folder that a manifest's relative paths start from; the manifest's own when None.

    Raises:
        DataError: a source does not exist, or there is no picture in any.
        ManifestError: a manifest is malformed.
    """
    paths: list[str] = []
    boxes = []
    subjects: list[str] = []
    others: Counter[str] = Counter()
    for source in sources:
        if source.suffix.lower() in READERS and source.is_file():
            manifest = read_manifest(source, root)
            paths += [str(manifest.locate(index).absolute()) for index in range(len(manifest))]
            boxes.append(manifest.boxes)
            subjects += manifest.subjects or [""] * len(manifest)
            continue
        found = _pictures(source, others)
        paths += found
        boxes.append(np.full((len(found), 4), np.nan))
        subjects += [""] * len(found)
    if not paths:
        seen = ", ".join(f"{count} {suffix or 'without ending'}" for suffix, count in others.most_common(3))
        raise DataError(
            f"No picture in {', '.join(map(str, sources))} (looked for {' '.join(SUFFIXES)}; "
            f"found {seen or 'no file at all'}). Give pictures, folders of them, or a manifest."
        )
    return Manifest(paths, np.concatenate(boxes), subjects if any(subjects) else None, Path("/"))


def _pictures(source: Path, others: Counter[str]) -> list[str]:
    """The absolute paths of one folder's pictures, or of one file; files of other kinds are counted by ending."""
    if source.is_file():
        return [str(source.absolute())]
    if not source.is_dir():
        raise DataError(f"{source} does not exist. Give pictures, folders of them, or a manifest.")
    found = []
    for folder, folders, names in os.walk(source.absolute()):  # links to folders are not followed: they may loop
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES):
                found.append(os.path.join(folder, name))  # noqa: PTH118 - a million times
            else:
                others[Path(name).suffix.lower()] += 1
    return found

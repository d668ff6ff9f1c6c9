"""Walking through folders of pictures and label files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

OWN_FOLDERS = (
    *("hparams.yaml", "data_card.md", "predictions.json", "check.json"),
    *("per_image.csv", "eigenears.json", "trials.csv"),
)
"""Files that mark a folder of results: a run, a prepared set, a report. What lies in it is not raw data."""


def walk_files(folder: Path, on_error: Callable[[OSError], None], on_own: Callable[[str], None]) -> Iterator[str]:
    """All files below a folder, sorted by folder and name. Links are followed; a folder is visited once.

    Hidden files and folders are not visited, and neither are folders of results that `ear` wrote, unless `folder`
    itself is one.

    Args:
        folder: An absolute path.
        on_error: Called for each folder that cannot be read.
        on_own: Called with each folder of results below `folder`.
    """
    visited = set()
    for parent, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        if parent != str(folder) and any(name in names for name in OWN_FOLDERS):
            folders.clear()
            on_own(parent)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (f"{parent}{os.sep}{name}" for name in sorted(names) if not name.startswith("."))

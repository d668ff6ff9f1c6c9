"""Files and folders that appear whole or not at all."""

import csv
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earcli.errors import RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside `path`; what is written there is flushed to disk and renamed at the end.

    Raises:
        RunError: it cannot be written; what was at `path` before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or give another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, ours: Collection[str]) -> Iterator[Path]:
    """Gives a new folder beside `path`, which takes its place at the end, as a whole.

    Args:
        ours: patterns of the names that `path` may hold already; a folder with anything else in it is not replaced.

    Raises:
        RunError: `path` holds something else, or cannot be written; what was there before is untouched.
    """
    try:
        others = [item.name for item in path.iterdir() if not any(item.match(p) for p in ours)] if path.exists() else []
        if others:
            raise RunError(f"{path} holds {sorted(others)[0]}, which ear did not put there. Give another --output.")
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            new = work / "new"
            new.mkdir()
            yield new
            if path.exists():
                path.rename(work / "old")
            try:
                new.rename(path)
            except OSError:
                (work / "old").rename(path)
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or give another --output."
        ) from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows under the names of all their columns, whole or not at all.

    Raises:
        RunError: it cannot be written.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)

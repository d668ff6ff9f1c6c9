"""Files and folders that appear whole or not at all, and CSV that no spreadsheet takes for formulas."""

import csv
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from earcli.errors import RunError

# what makes a spreadsheet read a cell as a formula, in either width (OWASP, "CSV Injection"), and our own guard
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
GUARD = "'"


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
        with suppress(OSError):  # the error that is told is why it could not be written
            temporary.unlink(missing_ok=True)


def refuse_used_folder(folder: Path) -> None:
    """Raises `RunError` when there is anything at `folder` but an empty folder."""
    try:
        used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error.strerror}). Give another folder.") from error
    if used:
        raise RunError(f"{folder} is not empty. Give a new folder; nothing is ever overwritten.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `folder`, which takes its place at the end.

    Raises:
        RunError: `folder` has something in it, or cannot be written; then nothing of it is left.
    """
    refuse_used_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o755)  # mkdtemp lets nobody else in
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}). Give another folder.") from error


def relative(path: str | Path, folder: Path) -> str:
    """A path from a folder, with slashes; absolute where there is no way (another drive)."""
    try:
        # through resolve(), because ".." leads to the parent of what a link points to
        return os.path.relpath(path, folder.resolve()).replace(os.sep, "/")
    except ValueError:
        return str(path)


def guard_cell(value: Any) -> Any:
    """Puts an apostrophe before text that a spreadsheet would take for a formula; `unguard_cell` takes it away."""
    if isinstance(value, str) and value.startswith((*FORMULA_STARTS, GUARD)) and not _is_number(value):
        return GUARD + value
    return value


def unguard_cell(value: str) -> str:
    """The inverse of `guard_cell`."""
    return value[1:] if value[:1] == GUARD and value[1:].startswith((*FORMULA_STARTS, GUARD)) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table, whole or not at all; text cells are guarded, undecodable file names keep their bytes.

    Raises:
        RunError: it cannot be written.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([guard_cell(cell) for cell in row] for row in rows)

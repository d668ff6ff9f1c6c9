"""Files and folders that appear whole or not at all, and CSV that no spreadsheet takes for formulas."""

import csv
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from earcli.errors import RunError

# what makes a spreadsheet read a cell as a formula, in either width (OWASP, "CSV Injection"), and our own guard
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
GUARD = "'"
SHOWN_NAME = 40
"""Characters of a file's name in that of its temporary one, which must not be longer than 255 bytes either."""


@contextmanager
def atomic_write(path: Path, before: Path | None = None) -> Iterator[Path]:
    """Gives a temporary name beside `path`; what is written there is flushed to disk and renamed at the end.

    Args:
        before: where what was at `path` is kept, in the same folder; None lets it go.

    Raises:
        RunError: it cannot be written; what was at `path` before is still there, or at `before`.
    """
    temporary = path.with_name(f".{path.name[:SHOWN_NAME]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        if before is not None and path.exists():
            path.replace(before)
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or give another folder."
        ) from error
    finally:
        with suppress(OSError):  # the error that is told is why it could not be written
            temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Removes what `atomic_write` left in a folder when its process was killed; nobody else may be writing there."""
    for path in folder.glob(".*.tmp"):
        if re.search(r"\.\d+\.tmp$", path.name):
            path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Has the system write a file to the disk, or of a folder the names in it, so that a loss of power spares them."""
    if path.is_dir() and os.name != "posix":
        return  # Windows opens no folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(folder: Path) -> None:
    """Has the system write a folder to the disk, with all that is in it."""
    for path in (*folder.rglob("*"), folder):
        flush(path)


def check_writable(folder: Path) -> None:
    """Refuses a folder that cannot be made or written in: at the start of long work, not at its end. Leaves nothing.

    Raises:
        RunError: it cannot.
    """
    place = folder.absolute()
    try:
        place = next(parent for parent in (place, *place.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}). Give another folder.") from error


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
            flush_all(temporary)
            temporary.replace(folder)
            flush(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}). Give another folder.") from error


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
            flush_all(new)
            if path.exists():
                path.rename(work / "old")
            try:
                new.rename(path)
            except OSError:
                (work / "old").rename(path)
                raise
            flush(path.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or give another --output."
        ) from error


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Like `atomic_write`, for a folder, or a file with others beside it: gives the same name in a temporary folder.

    At the end all that lies in that folder moves to where `path` is, `path` itself last.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            yield temporary / path.name
            flush_all(temporary)
            for item in sorted(temporary.iterdir(), key=lambda item: item.name == path.name):
                target = path.parent / item.name
                if item.is_dir() and target.is_dir():
                    target.replace(temporary / ".old")  # a folder replaces no folder that has something in it
                item.replace(target)
            flush(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or give another --output."
        ) from error


def check_replaceable(folder: Path, *patterns: str) -> None:
    """Refuses to replace a folder in which anything but files of these names lies.

    Raises:
        RunError: there is.
    """
    others = [item.name for item in (folder.iterdir() if folder.is_dir() else ()) if not any(map(item.match, patterns))]
    if others:
        raise RunError(f"{folder} holds {others[0]}, which would be lost. Give --output another name.")


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
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([guard_cell(name) for name in columns])
        writer.writerows([guard_cell(cell) for cell in row] for row in rows)


def write_records(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows under the names of all their columns; see `write_csv`.

    Raises:
        RunError: the file cannot be written.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, columns, ([row.get(name, "") for name in columns] for row in rows))

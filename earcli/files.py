"""Files and folders that are written atomically, and CSV without formulas."""

import csv
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earcli.errors import RunError

# what makes a spreadsheet read a cell as a formula, in either width (OWASP, "CSV Injection")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
ESCAPE = "'"


@contextmanager
def atomic_write(path: Path, backup: Path | None = None) -> Iterator[Path]:
    """Yields a path of the same name in a temporary folder; at the end, what was written there moves to `path`.

    Other files written beside it, such as the external weights of an ONNX file, move along.

    Args:
        path: the file to write.
        backup: where the previous file at `path` is kept, in the same folder; None deletes it.

    Raises:
        RunError: it cannot be written; the previous file is still at `path` or at `backup`.
    """
    with _temporary_folder(path) as folder:
        yield folder / path.name
        _fsync_tree(folder)
        for item in sorted(folder.iterdir(), key=lambda item: item.name == path.name):  # `path` last
            if item.name == path.name and backup is not None and path.exists():
                path.replace(backup)
            item.replace(path.with_name(item.name))
        fsync_path(path.parent)


@contextmanager
def atomic_folder(folder: Path, replaces: Collection[str] | None = None) -> Iterator[Path]:
    """Yields a temporary folder of the same name that becomes `folder` at the end.

    Args:
        folder: the folder to write.
        replaces: patterns of the names that `folder` may hold before; it is then replaced as a whole. None allows an
            empty folder only.

    Raises:
        RunError: `folder` holds something else, or cannot be written; what was there before is untouched.
    """
    check_replaceable(folder, replaces)
    with _temporary_folder(folder) as temporary:
        new = temporary / folder.absolute().name
        old = temporary.with_suffix(".old")  # beside `temporary`, so that it survives if it cannot be moved back
        new.mkdir()
        yield new
        _fsync_tree(new)
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
        fsync_path(folder.parent)
        if old.exists():
            old.rename(temporary / ".old")


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, removed at the end; translates every `OSError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name[:40]}-"  # names have up to 255 bytes
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=path.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or give another folder."
        ) from error


def remove_temporaries(folder: Path) -> None:
    """Removes what killed processes left in a folder that no other process writes to."""
    for path in folder.glob(".*-????????.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def fsync_path(path: Path) -> None:
    """Flushes a file, or the names in a folder, to disk, so that they survive a loss of power."""
    if path.is_dir() and os.name != "posix":
        return  # Windows opens no folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        fsync_path(path)


def check_writable(folder: Path) -> None:
    """Checks that a folder exists or can be made, and can be written to. Leaves nothing.

    Raises:
        RunError: it cannot.
    """
    path = folder.absolute()
    try:
        path = next(parent for parent in (path, *path.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}). Give another folder.") from error


def check_empty_folder(folder: Path) -> None:
    """Raises `RunError` when `folder` exists and is anything but an empty folder."""
    check_replaceable(folder, None)


def check_replaceable(folder: Path, patterns: Collection[str] | None) -> None:
    """Raises `RunError` when `folder` is a file, or holds names that match none of the patterns (None: any name)."""
    try:
        names = sorted(item.name for item in folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error.strerror}). Give another folder.") from error
    if patterns is None and names:
        raise RunError(f"{folder} is not empty. Give a new folder; nothing is overwritten.")
    foreign = [name for name in names if not any(Path(name).match(pattern) for pattern in patterns or ())]
    if foreign:
        raise RunError(f"{folder} holds {foreign[0]}, which ear did not write. Give another folder.")


def relative_posix(path: str | Path, folder: Path) -> str:
    """The path relative to a folder, with slashes; the same path where there is none (another drive)."""
    try:
        # through resolve(), because ".." leads to the parent of what a link points to
        return os.path.relpath(path, folder.resolve()).replace(os.sep, "/")
    except ValueError:
        return str(path)


def escape_formula(value: Any) -> Any:
    """Prefixes text that a spreadsheet would run as a formula with an apostrophe; anything else is unchanged.

    >>> escape_formula("=1+1"), escape_formula("-5"), escape_formula(3)
    ("'=1+1", '-5', 3)
    """
    if isinstance(value, str) and value.startswith((*FORMULA_STARTS, ESCAPE)) and not _is_number(value):
        return ESCAPE + value
    return value


def unescape_formula(value: str) -> str:
    """The inverse of `escape_formula`.

    >>> unescape_formula("'=1+1")
    '=1+1'
    """
    return value[1:] if value[:1] == ESCAPE and value[1:].startswith((*FORMULA_STARTS, ESCAPE)) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table atomically; formulas are escaped, undecodable file names keep their bytes.

    Raises:
        RunError: it cannot be written.
    """
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([escape_formula(name) for name in columns])
        writer.writerows([escape_formula(cell) for cell in row] for row in rows)


def write_records(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows by column name, with the columns of all rows; see `write_csv`.

    Raises:
        RunError: it cannot be written.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, columns, ([row.get(name, "") for name in columns] for row in rows))

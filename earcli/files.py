"""Files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def staging(path: Path) -> Iterator[Path]:
    """Like `replacing`, for a folder, or a file with others beside it: gives the same name in a temporary folder.

    At the end all that lies in that folder moves to where `path` is, `path` itself last.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            yield temporary / path.name
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as opened:
                        os.fsync(opened.fileno())
            for item in sorted(temporary.iterdir(), key=lambda item: item.name == path.name):
                target = path.parent / item.name
                if item.is_dir() and target.is_dir():
                    target.replace(temporary / ".old")  # a folder replaces no folder that has something in it
                item.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or give another --output."
        ) from error

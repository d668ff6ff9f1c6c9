"""Checks that every command makes before it starts."""

import logging
import tempfile
from pathlib import Path

from earcli.errors import RunError


def check_environment() -> None:
    """Looks for what libraries end without, in whatever way, long after the start.

    Raises:
        RunError: the working folder is gone, or no folder for temporary files can be written.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise RunError(f"The working folder is gone ({error.strerror}). Change to another folder.") from error
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise RunError(f"{error.strerror}. Make one of them writable, or set TMPDIR to a folder that is.") from error
    # without a folder for its cache it takes a temporary one, and advises at length
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

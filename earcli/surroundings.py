"""What every command needs of the machine it runs on."""

import logging
import tempfile
from pathlib import Path

from earcli.errors import RunError

MEMORY_SIGNS = ("out of memory", "can't allocate memory", "could not create a primitive", "failed to map segment")


def check_surroundings() -> None:
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused: to Python, to torch on a CPU or GPU, or to a library that was to be loaded."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in MEMORY_SIGNS)

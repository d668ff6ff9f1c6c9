"""A checkpoint by name: found, read, and where the newest of a run is damaged, the one before it."""

import logging
from pathlib import Path
from typing import Any

from earcli.checkpoints.runs import LAST, Kind, RunFolder, find_checkpoint
from earcli.checkpoints.weights import read_checkpoint
from earcli.errors import CheckpointError, DamagedError

LOGGER = logging.getLogger("earcli")


def open_checkpoint(
    wanted: str, run_dir: Path, kind: Kind | None = "teacher", *, complete: bool = False
) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that `--checkpoint` means: its file, and what is in it.

    Where a run's `last.ckpt` is damaged or missing, this takes the newest sound one of that run, and logs a warning.

    Args:
        wanted: see `find_checkpoint`.
        kind: what it must be of; None takes any.
        complete: whether it must be one that a run can go on from.

    Raises:
        CheckpointError: there is none, it cannot be used, or it is damaged and there is no other.
    """
    path = find_checkpoint(wanted, run_dir, kind)
    try:
        if not path.is_file():
            raise DamagedError(f"{path} is missing.")
        return path, read_checkpoint(path, kind)
    except DamagedError as error:
        for other in _older(path, complete):
            try:
                content = read_checkpoint(other, kind)
            except CheckpointError:
                continue
            LOGGER.warning("%s Taking %s instead.", str(error).removesuffix(" Take an older one."), other)
            return other, content
        raise


def _older(path: Path, complete: bool) -> list[Path]:
    """The other checkpoints of a run whose `last.ckpt` this is, the newest first."""
    if path.name != LAST:
        return []
    run = RunFolder(path.absolute().parent.parent)
    best = [] if complete else sorted(run.best(), key=lambda item: item.epoch, reverse=True)
    return [path.with_name(other.name) for other in (run.previous, *(item.path for item in best)) if other.is_file()]

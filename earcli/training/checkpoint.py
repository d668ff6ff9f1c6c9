"""Checkpoint files: written whole or not at all, read without running code, the best few kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.memory import is_oom_error

from earcli.errors import CheckpointError, EarError
from earcli.files import replacing
from earcli.models.weights import read_checkpoint
from earcli.runs import BestCheckpoint, RunFolder

KEPT = 3


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Saves a checkpoint, whole or not at all.

    Raises:
        RunError: it cannot be written; what was there before is untouched.
    """
    with replacing(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # what torch's writer makes of a full disk
            raise OSError(str(error).splitlines()[0]) from error


class SafeCheckpointIO(TorchCheckpointIO):
    """Lightning's door to checkpoint files."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(path, None)


@contextmanager
def restoring(path: Path | None, begun: Callable[[], bool]) -> Iterator[None]:
    """Takes whatever Lightning raises of a checkpoint, before training has begun, for its damage.

    Args:
        path: None where no run is resumed.

    Raises:
        CheckpointError: the checkpoint cannot be gone on from.
    """
    try:
        yield
    except EarError:
        raise
    except Exception as error:
        if path is None or begun() or is_oom_error(error):
            raise
        raise CheckpointError(
            f"{path} is damaged: the run cannot go on from it ({type(error).__name__}). Take an older checkpoint."
        ) from error


def keep_best(run: RunFolder, content: dict[str, Any], run_name: str, epoch: int, val_loss: float) -> None:
    """Writes the weights of an epoch when it is among the best three of its run.

    Raises:
        RunError: the file cannot be written.
    """
    for item in run.best():
        if item.epoch >= epoch:  # left by a run that was resumed from before that epoch
            item.path.unlink()
    ranked = run.best()
    if len(ranked) >= KEPT and val_loss >= ranked[KEPT - 1].val_loss:
        return
    write_checkpoint(content, run.checkpoints / BestCheckpoint.name(run_name, epoch, val_loss))
    for item in run.best()[KEPT:]:
        item.path.unlink()

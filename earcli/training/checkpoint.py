"""Checkpoint files: written whole or not at all, read without running code, the best few kept."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

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

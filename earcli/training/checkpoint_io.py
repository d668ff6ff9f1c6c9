"""Checkpoint files: written whole or not at all, read without running code, the best few kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch.distributed import DistError

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import PREVIOUS, BestCheckpoint, RunFolder
from earcli.errors import CheckpointError, is_out_of_memory
from earcli.files import atomic_write

KEPT = 3
PROBE = 2**20
SHOWN = 120


def write_checkpoint(content: dict[str, Any], path: Path, before: Path | None = None) -> None:
    """Saves a checkpoint, whole or not at all.

    Args:
        before: see `atomic_write`.

    Raises:
        RunError: it cannot be written; what was there before is untouched.
    """
    with atomic_write(path, before) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:
            with temporary.open("ab") as file:
                file.write(bytes(PROBE))  # torch's writer does not say why it failed, and the system says it again
            if "inline_container" not in str(error) and "StreamWriter" not in str(error):
                raise
            raise OSError(str(error).splitlines()[0]) from error


class SafeCheckpointIO(TorchCheckpointIO):
    """Lightning's door to checkpoint files; what one replaces stays as `previous.ckpt`, if it is known to be sound."""

    def __init__(self, resumed: Checkpoint | None = None) -> None:
        super().__init__()
        self.resumed = resumed
        self.sound: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path).absolute()
        # a damaged last.ckpt must not take the place of the sound one that the run goes on from
        write_checkpoint(checkpoint, path, path.with_name(PREVIOUS) if path == self.sound else None)
        self.sound = path

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        resumed = self.resumed
        if resumed is None or resumed.path != Path(path):
            resumed = Checkpoint.open(path)  # one that Lightning wrote itself, while it looked for the batch size
        self.sound = resumed.path.absolute()
        return dict(resumed.content)


@contextmanager
def translate_restore_errors(path: Path | None, begun: Callable[[], bool]) -> Iterator[None]:
    """Takes what Lightning and torch make of a checkpoint that does not fit, before training has begun, for its damage.

    Args:
        path: None where no run is resumed.

    Raises:
        CheckpointError: the checkpoint cannot be gone on from.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        elsewhere = isinstance(error, DistError) or is_out_of_memory(error)
        if path is None or begun() or elsewhere:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:SHOWN]
        raise CheckpointError(
            f"{path} is damaged: the run cannot go on from it ({reason}). Take an older checkpoint."
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

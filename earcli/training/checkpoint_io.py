"""Checkpoint files: written atomically, read without executing code, the best few kept."""

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

MAX_BEST = 3
PROBE_BYTES = 2**20
MAX_REASON = 120


def write_checkpoint(content: dict[str, Any], path: Path, before: Path | None = None) -> None:
    """Saves a checkpoint atomically.

    Args:
        content: What `torch.save` writes.
        path: The file.
        before: See `atomic_write`.

    Raises:
        RunError: It cannot be written; the previous file is unchanged.
    """
    with atomic_write(path, before) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:
            with temporary.open("ab") as file:
                file.write(bytes(PROBE_BYTES))  # raises the OSError that torch's writer does not report
            if "inline_container" not in str(error) and "StreamWriter" not in str(error):
                raise
            raise OSError(str(error).splitlines()[0]) from error


class SafeCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files; a replaced `last.ckpt` that is known to be sound is kept as `previous.ckpt`.

    Lightning's own writes through `$TMPDIR`, and keeps no previous file.
    """

    def __init__(self, resumed: Checkpoint | None = None) -> None:
        super().__init__()
        self.resumed = resumed
        self.sound: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path).absolute()
        # a damaged last.ckpt must not replace the sound previous.ckpt that the run resumes from
        write_checkpoint(checkpoint, path, path.with_name(PREVIOUS) if path == self.sound else None)
        self.sound = path

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        resumed = self.resumed
        if resumed is None or resumed.path != Path(path):
            resumed = Checkpoint.open(path)  # written by Lightning itself in the search for the batch size
        self.sound = resumed.path.absolute()
        return dict(resumed.content)


@contextmanager
def translate_restore_errors(path: Path | None, started: Callable[[], bool]) -> Iterator[None]:
    """Translates errors of Lightning and torch before training has started into one about the checkpoint.

    Args:
        path: The checkpoint; None if no run is resumed.
        started: Whether training has started.

    Raises:
        CheckpointError: The run cannot resume from the checkpoint.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        unrelated = isinstance(error, DistError) or is_out_of_memory(error)
        if path is None or started() or unrelated:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        raise CheckpointError(
            f"{path} is damaged: the run cannot resume from it ({reason}). Use an older checkpoint."
        ) from error


def keep_best(run: RunFolder, content: dict[str, Any], run_name: str, epoch: int, val_loss: float) -> None:
    """Writes the weights of an epoch if its validation loss is among the lowest three of the run.

    Args:
        run: The run folder.
        content: The checkpoint.
        run_name: The beginning of the file's name.
        epoch: Number of the epoch.
        val_loss: Its validation loss.

    Raises:
        RunError: The file cannot be written.
    """
    for item in run.best():
        if item.epoch >= epoch:  # of a run that was resumed from an earlier epoch
            item.path.unlink()
    ranked = run.best()
    if len(ranked) >= MAX_BEST and val_loss >= ranked[MAX_BEST - 1].val_loss:
        return
    write_checkpoint(content, run.checkpoints / BestCheckpoint.name(run_name, epoch, val_loss))
    for item in run.best()[MAX_BEST:]:
        item.path.unlink()

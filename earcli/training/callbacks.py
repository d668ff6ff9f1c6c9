"""What happens around the steps: signals, checkpoints, metrics, pictures."""

import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, Trainer
from torch.utils.tensorboard import SummaryWriter

from earcli.config import AnyRunConfig
from earcli.errors import TrainingError
from earcli.models.weights import AVERAGE_PREFIX, MODEL_PREFIX
from earcli.reporting.plots import save_image
from earcli.runs import RunFolder, create_run
from earcli.start import lap
from earcli.training.base import EarModule
from earcli.training.checkpoint import keep_best
from earcli.training.processes import earliest, highest

CHECK_EVERY = 50


class Reporter(Protocol):
    """Who is told how training goes."""

    def progress(self, what: str, done: int, total: int) -> None: ...

    def epoch(self, record: dict[str, float]) -> None: ...

    def note(self, text: str) -> None: ...


class InterruptedTraining(Exception):  # noqa: N818 - no error: the run can be resumed
    """A signal stopped training. `last` is the checkpoint to resume from; None when there is none yet."""

    def __init__(self, signal_number: int, last: Path | None) -> None:
        self.signal_number, self.last = signal_number, last


class Bookkeeper(Callback):
    """Makes the run folder; at each epoch's end writes metrics, pictures, checkpoints; measures speed.

    Args:
        skipped: the pictures that were left out, and why.

    Attributes:
        run: the run folder; None until Lightning calls `setup`, unless a run is resumed.
    """

    def __init__(
        self, config: AnyRunConfig, skipped: Sequence[tuple[str, str]], reporter: Reporter, run: RunFolder | None
    ) -> None:
        self.config, self.skipped, self.reporter, self.run = config, skipped, reporter, run
        self.writer: SummaryWriter | None = None
        self.busy = self.waited = 0.0
        self.batches = 0
        self.stepped = False

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        if self.run is None:
            new = create_run(self.config.run_dir, self.config.run_name) if trainer.is_global_zero else None
            self.run = trainer.strategy.broadcast(new)
        assert self.run is not None
        if trainer.is_global_zero:
            self.run.write_start(self.config, self.skipped)
            self.reporter.note(f"run folder {self.run.path}")

    def save(self, trainer: Trainer) -> Path:
        """Writes `last.ckpt`, complete."""
        assert self.run is not None
        trainer.save_checkpoint(self.run.last)
        return self.run.last

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self.mark = time.perf_counter()
        if trainer.is_global_zero and self.run is not None:
            self.writer = SummaryWriter(str(self.run.path))

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        self.mark = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.waited += self._lap()

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.busy += self._lap()
        self.batches += 1
        if not self.stepped:
            lap("first step")
            self.stepped = True
        self.reporter.progress("training", batch_idx + 1, int(trainer.num_training_batches))

    def on_validation_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.reporter.progress("validating", batch_idx + 1, int(trainer.num_val_batches[0]))

    def on_train_epoch_end(self, trainer: Trainer, module: EarModule) -> None:  # type: ignore[override]
        check_finite(module)
        elapsed = self.busy + self.waited
        samples = self.batches * module.config.batch_size * trainer.world_size
        record = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **module.record,
            "images_per_second": samples / elapsed if elapsed else 0.0,
            "data_wait": self.waited / elapsed if elapsed else 0.0,
        }
        self.busy = self.waited = 0.0
        self.batches = 0
        if self.writer is not None and self.run is not None:
            picture = drawing(trainer, module)
            save_image(self.run.path / module.PICTURES / f"epoch_{trainer.current_epoch:03d}.png", picture)
            self.run.append_metrics(record)
            for name, value in record.items():
                self.writer.add_scalar(name, value, trainer.current_epoch)
            self.writer.add_image(module.PICTURES, picture, trainer.current_epoch, dataformats="HWC")
            self.writer.flush()
            content = slim_checkpoint(module, record)
            keep_best(self.run, content, module.config.run_name, trainer.current_epoch, record["val/loss"])
        self.save(trainer)
        self.reporter.epoch(record)
        self.mark = time.perf_counter()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self.mark = now - self.mark, now
        return lap


class GracefulStop(Callback):
    """Ctrl-C and SIGTERM set a flag that is read between steps: the step is finished and `last.ckpt` saved.

    In an epoch's last step, and during validation, the end of the epoch is awaited. A second signal stops at once.
    One process that received a signal stops all, after the same step.
    """

    def __init__(self, keeper: Bookkeeper) -> None:
        self.keeper = keeper
        self.received: int | None = None
        # only the main thread may set handlers; before Lightning sets its own, so that close() undoes both
        main = threading.current_thread() is threading.main_thread()
        self.previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if main}

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        for number in self.previous:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        if self.received is not None:
            run = self.keeper.run
            raise InterruptedTraining(number, run.last if run is not None and run.last.is_file() else None)
        self.received = number
        self.keeper.reporter.note("stopping after this step; once more stops at once and loses the epoch")

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        last = batch_idx + 1 == trainer.num_training_batches
        between_steps = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if (batch_idx + 1) % CHECK_EVERY == 0:
            check_finite(module)
        if between_steps and not last and (received := highest(self.received or 0, module.device)):
            check_finite(module)
            raise InterruptedTraining(received, self.keeper.save(trainer))

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        ends = trainer.current_epoch + 1 == trainer.max_epochs
        if not ends and (received := highest(self.received or 0, module.device)):
            assert self.keeper.run is not None
            raise InterruptedTraining(received, self.keeper.run.last)

    def close(self) -> None:
        """Gives the signals back."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)


def check_finite(module: EarModule) -> None:
    """Raises TrainingError in all processes once a loss was NaN or infinite in one."""
    step = int(earliest(module.first_bad_step.view(1).to(module.device)))
    if step < 0 and all(np.isfinite(value) for value in module.record.values()):
        return
    where = f"in step {step}" if step >= 0 else "in validation"
    if module.global_rank != 0:
        raise TrainingError  # without a message: the first process has it
    raise TrainingError(
        f"The loss became NaN or infinite {where}. Training stopped; the checkpoints of the epochs before are sound. "
        "Try a lower --lr, a lower --grad-clip, or --precision 32."
    )


def slim_checkpoint(module: EarModule, record: dict[str, float]) -> dict[str, Any]:
    """Weights and hyper-parameters only: the average where there is one."""
    prefix = AVERAGE_PREFIX if module.average is not None else MODEL_PREFIX
    return {
        "state_dict": {prefix + name: value for name, value in module.network.state_dict().items()},
        "hyper_parameters": dict(module.hparams),
        "record": record,
    }


def drawing(trainer: Trainer, module: EarModule) -> NDArray[np.uint8]:
    """What `module.draw` gives, in eval mode and in the precision of training."""
    network = module.network
    training = network.training
    network.eval()
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        picture = module.draw()
    network.train(training)
    return picture

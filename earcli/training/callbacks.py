"""What happens around the steps: signals, checkpoints, metrics, pictures."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from pytorch_lightning import Callback, Trainer
from torch.utils.tensorboard import SummaryWriter

from earcli.checkpoints.checkpoint import FORMAT_VERSION, Checkpoint
from earcli.checkpoints.runs import create_run
from earcli.checkpoints.weights import AVERAGE_PREFIX, MODEL_PREFIX
from earcli.config.teacher import AnyRunConfig
from earcli.data.cache import Skipped
from earcli.errors import InterruptedTraining, RunError
from earcli.files import remove_temporaries
from earcli.reporting.plots import save_image
from earcli.reporting.reporter import Reporter
from earcli.training.checkpoint_io import keep_best
from earcli.training.distributed import max_across_ranks
from earcli.training.health import check_finite
from earcli.training.module import EarModule

CHECK_EVERY = 50
STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Bookkeeper(Callback):
    """Makes the run folder; at each epoch's end writes metrics, pictures, checkpoints; measures speed.

    Args:
        skipped: the pictures that were left out, and why.

    Attributes:
        run: the run folder; None until Lightning calls `setup`, unless a run is resumed.
    """

    def __init__(
        self, config: AnyRunConfig, skipped: Sequence[Skipped], reporter: Reporter, resumed: Checkpoint | None
    ) -> None:
        self.config, self.skipped, self.reporter, self.resumed = config, skipped, reporter, resumed
        self.run = None if resumed is None else resumed.run
        self.writer: SummaryWriter | None = None
        self.claim: FileLock | None = None
        self.busy = self.waited = 0.0
        self.batches = 0
        self.begun = False

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        if self.run is None:
            new = create_run(self.config.run_dir, self.config.run_name) if trainer.is_global_zero else None
            self.run = trainer.strategy.broadcast(new)
        assert self.run is not None
        if trainer.is_global_zero:
            self.claim = self.run.claim()
            for folder in (self.run.path, self.run.checkpoints, self.run.path / module.PICTURES):
                remove_temporaries(folder)
            self.run.write_start(self.config, self.skipped)
            self.reporter.note(f"run folder {self.run.path}")

    def save(self, trainer: Trainer) -> Path:
        """Writes `last.ckpt`, complete."""
        assert self.run is not None
        trainer.save_checkpoint(self.run.last)
        return self.run.last

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self.begun = True
        if self.resumed is not None:
            self.resumed.release()
        self.mark = time.perf_counter()
        if trainer.is_global_zero and self.run is not None:
            with self.writing():
                # what a run since resumed has shown of later epochs goes
                self.writer = SummaryWriter(str(self.run.path), purge_step=trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        self.mark = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.waited += self._lap()

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.busy += self._lap()
        self.batches += 1
        self.reporter.progress("training", batch_idx + 1, int(trainer.num_training_batches))

    def on_validation_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.reporter.progress("validating", batch_idx + 1, int(trainer.num_val_batches[0]))

    def on_train_epoch_end(self, trainer: Trainer, module: EarModule) -> None:  # type: ignore[override]
        assert self.run is not None
        check_finite(trainer, module, self.run)
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
        if self.writer is not None:
            picture = drawing(trainer, module)
            save_image(self.run.path / module.PICTURES / f"epoch_{trainer.current_epoch:03d}.png", picture)
            self.run.append_metrics(record)
            self.show(record, module.PICTURES, picture)
            content = slim_checkpoint(module, record)
            keep_best(self.run, content, module.config.run_name, trainer.current_epoch, record["val/loss"])
        self.save(trainer)
        self.reporter.epoch(record)
        for remark in module.remarks():
            self.reporter.note(remark)
        self.mark = time.perf_counter()

    def show(self, record: dict[str, float], name: str, picture: NDArray[np.uint8]) -> None:
        """Hands an epoch to TensorBoard."""
        assert self.writer is not None
        epoch = int(record["epoch"])
        with self.writing():
            for key, value in record.items():
                self.writer.add_scalar(key, value, epoch)
            self.writer.add_image(name, picture, epoch, dataformats="HWC")
            self.writer.flush()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Says what TensorBoard makes of a full disk; raises RunError."""
        assert self.run is not None
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.run.path} cannot be written ({error.strerror}). Free space there.") from error

    def close(self) -> None:
        if self.writer is not None:
            with suppress(OSError):  # which stopped the run already
                self.writer.close()
        if self.claim is not None:
            with suppress(OSError):  # Windows removes no open file
                Path(self.claim.lock_file).unlink(missing_ok=True)
            self.claim.release()

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self.mark = now - self.mark, now
        return lap


class GracefulStop(Callback):
    """Ctrl-C, SIGTERM and SIGHUP set a flag that is read between steps: the step is finished and `last.ckpt` saved.

    In an epoch's last step, and during validation, the end of the epoch is awaited. A second signal stops at once. A
    signal that the process was told to ignore, as `nohup` does, stays ignored. Of several processes, one that receives
    a signal stops all, after the same step.
    """

    def __init__(self, keeper: Bookkeeper) -> None:
        self.keeper = keeper
        self.received: int | None = None
        # only the main thread may set handlers; before Lightning sets its own, so that close() undoes both
        main = threading.current_thread() is threading.main_thread()
        self.previous = {number: signal.getsignal(number) for number in STOPS if main}

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        for number, handler in self.previous.items():
            # Lightning has put its own handler before an ignored one, and takes that for the number of another signal
            signal.signal(number, handler if handler is signal.SIG_IGN else self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        if self.received is not None:
            run = self.keeper.run
            raise InterruptedTraining(number, run.last if run is not None and run.last.is_file() else None)
        self.received = number
        self.keeper.reporter.note("stopping after this step; once more stops at once and loses the epoch")

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        last = batch_idx + 1 == trainer.num_training_batches
        between_steps = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        assert self.keeper.run is not None
        if (batch_idx + 1) % CHECK_EVERY == 0:
            check_finite(trainer, module, self.keeper.run)
        if between_steps and not last and (received := max_across_ranks(self.received or 0, module.device)):
            check_finite(trainer, module, self.keeper.run)
            raise InterruptedTraining(received, self.keeper.save(trainer))

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        ends = trainer.current_epoch + 1 == trainer.max_epochs
        if not ends and (received := max_across_ranks(self.received or 0, module.device)):
            assert self.keeper.run is not None
            raise InterruptedTraining(received, self.keeper.run.last)

    def close(self) -> None:
        """Gives the signals back."""
        for number, handler in self.previous.items():
            if handler is not None:  # else another library's, that Python cannot set
                signal.signal(number, handler)


def slim_checkpoint(module: EarModule, record: dict[str, float]) -> dict[str, Any]:
    """Weights and hyper-parameters only: the average where there is one."""
    prefix = AVERAGE_PREFIX if module.average is not None else MODEL_PREFIX
    return {
        "format_version": FORMAT_VERSION,
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

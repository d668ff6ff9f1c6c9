"""Callbacks: the run folder, metrics, sample images, checkpoints, signals."""

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
from earcli.checkpoints.pretrained import describe_license
from earcli.checkpoints.runs import RunFolder, create_run
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

FINITE_CHECK_INTERVAL = 50
"""Batches between two checks for non-finite terms, each of which synchronizes with the device."""
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class RunRecorder(Callback):
    """Creates the run folder, writes metrics, sample images and checkpoints after each epoch, and measures speed.

    It replaces Lightning's ModelCheckpoint and loggers: `metrics.csv` has one row per epoch also after a resume, and
    all files are written atomically.

    Args:
        config: The configuration of the run.
        skipped: The pictures that were skipped, and why.
        reporter: Receives notes, progress and epochs.
        resumed: The checkpoint that the run resumes from.

    Attributes:
        run: The run folder; None until Lightning calls `setup`, unless a run is resumed.
        started: Whether training has started.
    """

    def __init__(
        self, config: AnyRunConfig, skipped: Sequence[Skipped], reporter: Reporter, resumed: Checkpoint | None
    ) -> None:
        self.config, self.skipped, self.reporter, self.resumed = config, skipped, reporter, resumed
        self.run = None if resumed is None else resumed.run
        self.writer: SummaryWriter | None = None
        self.lock: FileLock | None = None
        self.step_seconds = self.data_seconds = 0.0
        self.batches = 0
        self.started = False

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        if self.run is None:
            new = create_run(self.config.run_dir, self.config.run_name) if trainer.is_global_zero else None
            self.run = trainer.strategy.broadcast(new)
        assert self.run is not None
        if trainer.is_global_zero:
            self.lock = self.run.claim()
            for folder in (self.run.path, self.run.checkpoints, self.run.path / module.SAMPLES_FOLDER):
                remove_temporaries(folder)
            terms = describe_license(*self.config.initial_trunk)
            if terms is not None:
                self.reporter.note(terms)
            self.run.write_start(self.config, self.skipped, terms)
            self.reporter.note(f"run folder {self.run.path}")

    def save(self, trainer: Trainer) -> Path:
        """Writes `last.ckpt`, from which the run can resume."""
        assert self.run is not None
        trainer.save_checkpoint(self.run.last)
        return self.run.last

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self.started = True
        if self.resumed is not None:
            self.resumed.release()
        self.mark = time.perf_counter()
        if trainer.is_global_zero and self.run is not None:
            with self._disk_errors():
                # purges events of epochs after the checkpoint that the run resumes from
                self.writer = SummaryWriter(str(self.run.path), purge_step=trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        self.mark = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.data_seconds += self._lap()

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.step_seconds += self._lap()
        self.batches += 1
        self.reporter.progress("training", batch_idx + 1, int(trainer.num_training_batches))

    def on_validation_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.reporter.progress("validating", batch_idx + 1, int(trainer.num_val_batches[0]))

    def on_train_epoch_end(self, trainer: Trainer, module: EarModule) -> None:  # type: ignore[override]
        assert self.run is not None
        check_finite(trainer, module, self.run)
        epoch = trainer.current_epoch
        samples = self.batches * module.config.batch_size * trainer.world_size
        record = {"epoch": epoch, "step": trainer.global_step, **module.record, **self._speed(samples)}
        if self.writer is not None:
            image = _sample_grid(trainer, module)
            save_image(self.run.path / module.SAMPLES_FOLDER / f"epoch_{epoch:03d}.png", image)
            self.run.append_metrics(record)
            self._write_events(record, module.SAMPLES_FOLDER, image)
            content = _weights_checkpoint(module, record)
            keep_best(self.run, content, module.config.run_name, epoch, record["val/loss"])
        self.save(trainer)
        self.reporter.epoch(record)
        for warning in module.epoch_warnings():
            self.reporter.note(warning)
        self.mark = time.perf_counter()

    def close(self) -> None:
        """Closes the event file and releases the lock."""
        if self.writer is not None:
            with suppress(OSError):  # it has stopped the run already
                self.writer.close()
        if self.lock is not None:
            with suppress(OSError):  # Windows removes no open file
                Path(self.lock.lock_file).unlink(missing_ok=True)
            self.lock.release()

    def _speed(self, samples: int) -> dict[str, float]:
        """Images per second, and the fraction of time spent waiting for data; restarts the clocks."""
        elapsed = self.step_seconds + self.data_seconds
        speed = {
            "images_per_second": samples / elapsed if elapsed else 0.0,
            "data_wait": self.data_seconds / elapsed if elapsed else 0.0,
        }
        self.step_seconds = self.data_seconds = 0.0
        self.batches = 0
        return speed

    def _write_events(self, record: dict[str, float], name: str, image: NDArray[np.uint8]) -> None:
        """Writes the figures and the image of an epoch for TensorBoard."""
        assert self.writer is not None
        epoch = int(record["epoch"])
        with self._disk_errors():
            for key, value in record.items():
                self.writer.add_scalar(key, value, epoch)
            self.writer.add_image(name, image, epoch, dataformats="HWC")
            self.writer.flush()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Translates an OSError of TensorBoard's writer, such as that of a full disk, into a RunError."""
        assert self.run is not None
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.run.path} cannot be written ({error.strerror}). Free space there.") from error

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self.mark = now - self.mark, now
        return lap


class GracefulStop(Callback):
    """Makes SIGINT, SIGTERM and SIGHUP stop the run after the current step, with a checkpoint to resume from.

    The handler only sets a flag, which is read between steps. In the last step of an epoch and in validation, the run
    stops at the end of the epoch. A second signal stops at once. Signals that the process ignores, as under `nohup`,
    stay ignored. If one of several processes receives a signal, all stop after the same step.
    """

    def __init__(self, recorder: RunRecorder) -> None:
        self.recorder = recorder
        self.received: int | None = None
        # only the main thread may set handlers; saved before Lightning sets its own, so that close() undoes both
        main = threading.current_thread() is threading.main_thread()
        self.previous = {number: signal.getsignal(number) for number in STOP_SIGNALS if main}

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        for number, handler in self.previous.items():
            # Lightning has replaced an ignored handler by its own, because it confuses SIG_IGN with a signal number
            signal.signal(number, handler if handler is signal.SIG_IGN else self._receive)

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        last = batch_idx + 1 == trainer.num_training_batches
        between_steps = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if (batch_idx + 1) % FINITE_CHECK_INTERVAL == 0:
            check_finite(trainer, module, self._run)
        if between_steps and not last and (received := max_across_ranks(self.received or 0, module.device)):
            check_finite(trainer, module, self._run)
            raise InterruptedTraining(received, self.recorder.save(trainer))

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if not last and (received := max_across_ranks(self.received or 0, module.device)):
            raise InterruptedTraining(received, self._run.last)

    def close(self) -> None:
        """Restores the signal handlers."""
        for number, handler in self.previous.items():
            if handler is not None:  # None is a handler of C code, which Python cannot set
                signal.signal(number, handler)

    @property
    def _run(self) -> RunFolder:
        assert self.recorder.run is not None
        return self.recorder.run

    def _receive(self, number: int, frame: Any) -> None:
        if self.received is not None:
            run = self.recorder.run
            raise InterruptedTraining(number, run.last if run is not None and run.last.is_file() else None)
        self.received = number
        self.recorder.reporter.note("stopping after this step; a second signal stops at once and loses this epoch")


def _weights_checkpoint(module: EarModule, record: dict[str, float]) -> dict[str, Any]:
    """A checkpoint of weights and hyper-parameters only; the averaged weights if there are any."""
    prefix = AVERAGE_PREFIX if module.average is not None else MODEL_PREFIX
    return {
        "format_version": FORMAT_VERSION,
        "state_dict": {prefix + name: value for name, value in module.network.state_dict().items()},
        "hyper_parameters": dict(module.hparams),
        "record": record,
    }


def _sample_grid(trainer: Trainer, module: EarModule) -> NDArray[np.uint8]:
    """The module's sample grid, computed in eval mode and in the precision of training."""
    network = module.network
    training = network.training
    network.eval()
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        image = module.sample_grid()
    network.train(training)
    return image

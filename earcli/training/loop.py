"""One training run, from crops to a run folder."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import AUTO, AnyRunConfig, TrainConfig
from earcli.data.batches import PixelDataset, count_full_batches, crop_dataset
from earcli.data.cache import Crops, Skipped
from earcli.errors import ConfigError, TrainingError, is_out_of_memory
from earcli.models.detector import EarDetector
from earcli.reporting.reporter import Reporter
from earcli.training.batch_size import find_largest_batch
from earcli.training.callbacks import GracefulStop, RunRecorder
from earcli.training.checkpoint_io import SafeCheckpointIO, translate_restore_errors
from earcli.training.datamodule import PixelDataModule
from earcli.training.detector import DetectorModule
from earcli.training.execution import apply_switches
from earcli.training.launcher import linked_processes
from earcli.training.memory import retain_freed_memory
from earcli.training.module import EarModule
from earcli.training.teacher import TeacherModule

Module = TypeVar("Module", bound=EarModule)
Config = TypeVar("Config", bound=AnyRunConfig)
Build = Callable[[Config, int], tuple[Module, PixelDataModule]]
"""Returns the module and the data for a configuration and a world size."""
STRATEGIES = ("auto", "ddp")
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # reading a cached batch is a copy
    ".*dataloader is not resumable.*",  # it is: PixelDataModule starts it at the right batch
    ".*in eval mode at the start of training.*",  # frozen layers
    ".*sync_dist=True.*",  # logged values are already reduced
    r".*lr_scheduler.step\(\)` before.*",  # the first steps may overflow fp16 and are skipped
    ".*treespec.*LeafSpec.*",  # Lightning 2.6 uses an API that newer torch deprecates
)


@dataclass(frozen=True)
class Pretrained:
    """State dicts that training starts from.

    Attributes:
        backbone: Of a torchvision ResNet; None starts from random weights.
        vgg: Of the VGG16 of the perceptual term; None omits the term.
    """

    backbone: dict[str, Tensor] | None
    vgg: dict[str, Tensor] | None


def train_teacher(
    config: TrainConfig,
    train: Crops,
    val: Crops,
    pretrained: Pretrained,
    reporter: Reporter,
    resume: Checkpoint | None = None,
) -> tuple[RunFolder, TeacherModule]:
    """Trains in a new run folder, or continues the run of a checkpoint.

    Args:
        config: With a chosen precision.
        train: The training set.
        val: The validation set.
        pretrained: Ignored, except for VGG, if a run is resumed.
        reporter: Receives notes, progress and epochs.
        resume: A `last.ckpt` or `previous.ckpt`.

    Raises:
        ConfigError: `devices` or `strategy` do not suit this machine, or the number of processes has changed.
        DataError: The training set is smaller than a batch, or has changed.
        RunError: The run folder cannot be written, or another process trains in it.
        TrainingError: A loss or gradient is not finite, memory ran out, or another process ended.
        InterruptedTraining: A signal stopped the run.
    """

    def build(config: TrainConfig, world_size: int) -> tuple[TeacherModule, PixelDataModule]:
        length = count_full_batches(len(train), config.batch_size * world_size)
        steps = math.ceil(length / config.accumulate)
        module = TeacherModule(config, steps, pretrained.backbone, pretrained.vgg, val)
        apply_switches(module.model, config)
        return module, PixelDataModule(crop_dataset(train), crop_dataset(val), config.batch_size, config.seed, length)

    return fit(config, build, [*train.skipped, *val.skipped], reporter, resume)


def train_detector(
    config: FinetuneConfig,
    model: EarDetector,
    train: PixelDataset,
    val: PixelDataset,
    skipped: Sequence[Skipped],
    reporter: Reporter,
    resume: Checkpoint | None = None,
) -> tuple[RunFolder, DetectorModule]:
    """Trains a detector in a new run folder, or continues the run of a checkpoint.

    Args:
        config: Settled, with a chosen precision.
        model: The detector to train.
        train: The training set; see `view_dataset`.
        val: The validation set.
        skipped: The labels that were skipped, and why.
        reporter: Receives notes, progress and epochs.
        resume: A `last.ckpt` or `previous.ckpt`.

    Raises:
        ConfigError, DataError, RunError, TrainingError, InterruptedTraining: See `train_teacher`.
    """

    def build(config: FinetuneConfig, world_size: int) -> tuple[DetectorModule, PixelDataModule]:
        length = config.epoch_steps
        data = PixelDataModule(train, val, config.batch_size, config.seed, length)
        return DetectorModule(config, model, math.ceil(length / config.accumulate), val), data

    return fit(config, build, skipped, reporter, resume)


def fit(
    config: Config,
    build: Build[Config, Module],
    skipped: Sequence[Skipped],
    reporter: Reporter,
    resume: Checkpoint | None,
) -> tuple[RunFolder, Module]:
    """Runs Lightning in a new run folder, or in that of a checkpoint.

    Args:
        config: With a chosen precision.
        build: Returns the module and the data for a configuration and a world size.
        skipped: The pictures that were skipped, and why.
        reporter: Receives notes, progress and epochs.
        resume: The checkpoint to resume from.

    Raises:
        ConfigError, DataError, RunError, TrainingError, InterruptedTraining: See `train_teacher`.
    """
    retain_freed_memory()
    if config.batch_size == AUTO:
        with quiet_lightning(), TemporaryDirectory() as folder:
            trainer = make_trainer(config, [], folder)
            config = replace(config, batch_size=find_largest_batch(config, trainer, build))
        reporter.note(f"batch size {config.batch_size}, the largest that fits into memory")
    seed_everything(config.seed, verbose=False)
    recorder = RunRecorder(config, skipped, reporter, resume)
    stop = GracefulStop(recorder)
    try:
        with quiet_lightning(), _translate_memory_errors(config):
            module = _run_trainer(config, build, recorder, stop)
    finally:
        stop.close()
        recorder.close()
    assert recorder.run is not None
    return recorder.run, module


def _run_trainer(config: Config, build: Build[Config, Module], recorder: RunRecorder, stop: GracefulStop) -> Module:
    resume = recorder.resumed
    callbacks: list[Callback] = [recorder, stop]
    if config.early_stopping:
        callbacks.append(EarlyStopping("val/loss", patience=config.patience))
    trainer = make_trainer(config, callbacks, resumed=resume)
    _check_world_size(trainer.world_size, resume)
    module, data = build(config, trainer.world_size)
    path = None if resume is None else resume.path
    with translate_restore_errors(path, lambda: recorder.started), linked_processes(trainer):
        trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
    return module


@contextmanager
def _translate_memory_errors(config: AnyRunConfig) -> Iterator[None]:
    """Translates a failed allocation into a TrainingError that says which parameters need less memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"`batch_size` {config.batch_size // 2} with `accumulate` {config.accumulate * 2}"
        remedy = smaller if config.batch_size > 1 else "a smaller `image_size` or `resnet_version`"
        raise TrainingError(f"Memory ran out with `batch_size` {config.batch_size}. Try {remedy}.") from error


def _check_world_size(world_size: int, resumed: Checkpoint | None) -> None:
    """Checks that a run resumes with as many processes as before.

    Raises:
        ConfigError: It does not.
    """
    before = world_size if resumed is None else resumed.content["ear"].get("processes", 1)
    if world_size != before:
        raise ConfigError(
            f"The run had a total of {before} processes and would now have {world_size}. "
            "Set `devices` and `num_nodes` as before."
        )


def make_trainer(
    config: AnyRunConfig, callbacks: list[Callback], folder: str | None = None, resumed: Checkpoint | None = None
) -> Trainer:
    """Lightning's trainer for a configuration with a chosen precision.

    Args:
        config: The configuration.
        callbacks: Of the trainer.
        folder: For files of Lightning itself, which writes none in training.
        resumed: The checkpoint to resume from.

    Raises:
        ConfigError: `devices` or `strategy` do not suit this machine, or training does not support them.
    """
    if config.strategy not in STRATEGIES:
        raise ConfigError(
            f"`strategy` must be {' or '.join(STRATEGIES)}, got {config.strategy}: clipping by the norm of all weights "
            "and the average need whole networks, which fsdp and deepspeed shard."
        )
    try:
        return Trainer(
            max_epochs=config.epochs,
            precision=config.precision,  # type: ignore[arg-type]
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            accumulate_grad_batches=config.accumulate,
            sync_batchnorm=torch.cuda.is_available(),  # which Lightning supports on CUDA only
            callbacks=callbacks,
            default_root_dir=folder,
            plugins=[SafeCheckpointIO(resumed)],
            logger=False,  # RunRecorder writes one CSV row per epoch, also after a resume
            enable_checkpointing=False,  # RunRecorder writes checkpoints atomically
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"`devices` {config.devices}, `strategy` {config.strategy}: {reason}") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silences Lightning's messages about intended behavior, and no others."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

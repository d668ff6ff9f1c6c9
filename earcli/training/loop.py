"""One training run, from crops to a run folder."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import TypeVar

from pytorch_lightning import Callback, seed_everything
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
from earcli.models.laterality import Laterality
from earcli.models.skeleton import SkeletonBasis
from earcli.reporting.reporter import Reporter
from earcli.training.batch_size import find_largest_batch
from earcli.training.callbacks import GracefulStop, RunRecorder
from earcli.training.checkpoint_io import translate_restore_errors
from earcli.training.datamodule import PixelDataModule
from earcli.training.detector import DetectorModule
from earcli.training.execution import apply_switches, deterministic_kernels
from earcli.training.launcher import linked_processes
from earcli.training.memory import retain_freed_memory
from earcli.training.module import EarModule
from earcli.training.teacher import TeacherModule
from earcli.training.trainer import make_trainer, quiet_lightning

Module = TypeVar("Module", bound=EarModule)
Config = TypeVar("Config", bound=AnyRunConfig)
Build = Callable[[Config, int], tuple[Module, PixelDataModule]]
"""Returns the module and the data for a configuration and a world size."""


@dataclass(frozen=True)
class Pretrained:
    """What training starts from: state dicts, and the fitted skeleton.

    Attributes:
        backbone: Of a torchvision ResNet; None starts from random weights.
        vgg: Of the VGG16 of the perceptual term; None omits the term.
        skeleton: The basis of the skeleton; None leaves it empty, to be filled from a checkpoint.
        laterality: What mirrored the right ears of the crops; None likewise.
    """

    backbone: dict[str, Tensor] | None
    vgg: dict[str, Tensor] | None
    skeleton: SkeletonBasis | None = None
    laterality: Laterality | None = None


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
        module = TeacherModule(
            config, steps, pretrained.backbone, pretrained.vgg, pretrained.skeleton, pretrained.laterality, val
        )
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
        with quiet_lightning(), deterministic_kernels(), _translate_memory_errors(config):
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
        remedy = smaller if config.batch_size > 1 else "a smaller `image_size` or `encoder`"
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

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
from earcli.training.batch_size import largest_batch
from earcli.training.callbacks import Bookkeeper, GracefulStop
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
STRATEGIES = ("auto", "ddp")
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # batches are read from one file
    ".*dataloader is not resumable.*",  # it is: PixelDataModule starts it at the right batch
    ".*in eval mode at the start of training.*",  # frozen layers are
    ".*sync_dist=True.*",  # what is logged is already over all processes
    r".*lr_scheduler.step\(\)` before.*",  # where the very first steps overflow fp16 and are left out
    ".*treespec.*LeafSpec.*",  # Lightning 2.6 asks newer torch in an older way
)


@dataclass(frozen=True)
class Pretrained:
    """State dicts that training starts from; None starts the trunk at random, or leaves the perceptual term out."""

    trunk: dict[str, Tensor] | None
    vgg: dict[str, Tensor] | None


def train_teacher(
    config: TrainConfig,
    train: Crops,
    val: Crops,
    pretrained: Pretrained,
    reporter: Reporter,
    resume: Checkpoint | None = None,
) -> tuple[RunFolder, TeacherModule]:
    """Trains in a new run folder, or goes on in an old one, from one of its complete checkpoints.

    Raises:
        ConfigError: --devices or --strategy name nothing that this machine has.
        DataError: the set is smaller than a batch.
        RunError: the run folder cannot be written.
        TrainingError: the loss is not finite, or memory ran out.
        InterruptedTraining: a signal stopped it.
    """

    def make(config: TrainConfig, processes: int) -> tuple[TeacherModule, PixelDataModule]:
        length = count_full_batches(len(train), config.batch_size * processes)
        steps = math.ceil(length / config.accumulate)
        module = TeacherModule(config, steps, pretrained.trunk, pretrained.vgg, val)
        apply_switches(module.model, config)
        return module, PixelDataModule(crop_dataset(train), crop_dataset(val), config.batch_size, config.seed, length)

    return fit(config, make, [*train.skipped, *val.skipped], reporter, resume)


def train_detector(
    config: FinetuneConfig,
    model: EarDetector,
    train: PixelDataset,
    val: PixelDataset,
    skipped: Sequence[Skipped],
    reporter: Reporter,
    resume: Checkpoint | None = None,
) -> tuple[RunFolder, DetectorModule]:
    """Trains a detector on windows of labeled pictures, in a new run folder or, to go on, in an old one.

    Args:
        config: settled.
        skipped: the labels that were left out, and why.

    Raises:
        ConfigError, RunError, TrainingError, InterruptedTraining: see `train_teacher`.
    """

    def make(config: FinetuneConfig, processes: int) -> tuple[DetectorModule, PixelDataModule]:
        length = config.epoch_steps
        data = PixelDataModule(train, val, config.batch_size, config.seed, length)
        return DetectorModule(config, model, math.ceil(length / config.accumulate), val), data

    return fit(config, make, skipped, reporter, resume)


def fit(
    config: Config,
    make: Callable[[Config, int], tuple[Module, PixelDataModule]],
    skipped: Sequence[Skipped],
    reporter: Reporter,
    resume: Checkpoint | None,
) -> tuple[RunFolder, Module]:
    """Runs Lightning in a new run folder, or goes on in an old one.

    Args:
        make: gives what is trained, and the data, for a number of processes.
        skipped: the pictures that were left out, and why.

    Raises:
        ConfigError, DataError, RunError, TrainingError, InterruptedTraining: see `train_teacher`.
    """
    retain_freed_memory()
    if config.batch_size == AUTO:
        with quiet_lightning(), TemporaryDirectory() as folder:
            config = replace(config, batch_size=largest_batch(config, make_trainer(config, [], folder), make))
        reporter.note(f"--batch-size auto: {config.batch_size} is the most that fits")
    seed_everything(config.seed, verbose=False)
    keeper = Bookkeeper(config, skipped, reporter, resume)
    stop = GracefulStop(keeper)
    callbacks: list[Callback] = [keeper, stop]
    if config.early_stopping:
        callbacks.append(EarlyStopping("val/loss", patience=config.patience))
    try:
        with quiet_lightning():
            trainer = make_trainer(config, callbacks, resumed=resume)
            check_processes(trainer.world_size, resume)
            module, data = make(config, trainer.world_size)
            path = None if resume is None else resume.path
            with translate_restore_errors(path, lambda: keeper.begun), linked_processes(trainer):
                trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"--batch-size {config.batch_size // 2} --accumulate {config.accumulate * 2}"
        remedy = smaller if config.batch_size > 1 else "a smaller --image-size or --resnet-version"
        raise TrainingError(f"Memory ran out at --batch-size {config.batch_size}. Try {remedy}.") from error
    finally:
        stop.close()
        keeper.close()
    assert keeper.run is not None
    return keeper.run, module


def check_processes(count: int, resumed: Checkpoint | None) -> None:
    """Checks that a run resumes on as many processes as it had.

    Raises:
        ConfigError: It does not.
    """
    before = count if resumed is None else resumed.content["ear"].get("processes", 1)
    if count != before:
        raise ConfigError(
            f"The run had {before} processes in all and would now have {count}. "
            "Give `devices` and `num_nodes` as they were."
        )


def make_trainer(
    config: AnyRunConfig, callbacks: list[Callback], folder: str | None = None, resumed: Checkpoint | None = None
) -> Trainer:
    """Lightning's trainer for a configuration whose precision is chosen.

    Args:
        folder: where Lightning may leave files of its own; it has none to leave in training.

    Raises:
        ConfigError: --devices or --strategy name nothing that this machine has, or that training cannot use.
    """
    if config.strategy not in STRATEGIES:
        raise ConfigError(
            f"--strategy {config.strategy}: training knows {' and '.join(STRATEGIES)} alone. It clips gradients by the "
            "norm of all weights, and averages and draws whole networks, which fsdp and deepspeed cut into pieces."
        )
    try:
        return Trainer(
            max_epochs=config.epochs,
            precision=config.precision,  # type: ignore[arg-type]
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            accumulate_grad_batches=config.accumulate,
            sync_batchnorm=torch.cuda.is_available(),  # there is none on a CPU; one process alone has nothing to share
            callbacks=callbacks,
            default_root_dir=folder,
            plugins=[SafeCheckpointIO(resumed)],
            logger=False,  # one CSV row an epoch, also after a resume: Bookkeeper writes it
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--devices {config.devices} --strategy {config.strategy}: {reason}") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silences what Lightning says about things that are meant here, and nothing else."""
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

"""Lightning's trainer, as this package configures it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.config.teacher import AnyRunConfig
from earcli.errors import ConfigError
from earcli.training.checkpoint_io import SafeCheckpointIO

STRATEGIES = ("auto", "ddp")
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # reading a cached batch is a copy
    ".*dataloader is not resumable.*",  # it is: PixelDataModule starts it at the right batch
    ".*in eval mode at the start of training.*",  # frozen layers
    ".*sync_dist=True.*",  # logged values are already reduced
    r".*lr_scheduler.step\(\)` before.*",  # the first steps may overflow fp16 and are skipped
    ".*treespec.*LeafSpec.*",  # Lightning 2.6 uses an API that newer torch deprecates
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

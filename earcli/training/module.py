"""What every kind of run shares: its average, optimizer, schedule, sums over an epoch, part of a checkpoint."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from earcli.checkpoints.checkpoint import FORMAT_VERSION
from earcli.config.teacher import AnyRunConfig
from earcli.errors import DataError
from earcli.randomness import SharedGenerator
from earcli.training.distributed import all_reduce_sums, world_size
from earcli.training.optimizer import AdamW

TRAIN_STREAM, VAL_STREAM = 0, 1
SUSPECTS = ("loss", "gradient")


class EarModule(LightningModule):
    """Trains one network.

    Every random draw comes from a generator seeded by (seed, stream, epoch, batch), so a run can stop and resume at
    any step, and several processes draw what one would. Sums over an epoch stay on the device, those of this process
    alone, and travel in the checkpoint, those of all.

    Attributes:
        PICTURES: the folder of the run that `draw` fills.
        MEANS: the names, without their stage, of what is a mean over an epoch.
        average: the moving average of `model`, or None; it validates, and is what later commands use.
        record: what the last epoch gave, by log key.
        first_bad: (4,) epoch, batch and step in which something was first not finite, all from 0, and what that was, as
            a place in `SUSPECTS`; -1 until then.
    """

    PICTURES: ClassVar[str]
    MEANS: ClassVar[Sequence[str]]
    config: AnyRunConfig
    model: nn.Module
    average: nn.Module | None

    def __init__(self, config: AnyRunConfig, model: nn.Module, steps_per_epoch: int) -> None:
        super().__init__()
        self.save_hyperparameters(config.to_dict())
        self.config, self.steps_per_epoch = config, steps_per_epoch
        self.model = model.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False) if config.ema_decay else None
        self.record: dict[str, float] = {}
        self.sums: dict[str, Tensor] = {}
        self.first_bad = torch.full((4,), -1)
        self.batch_number = 0

    @property
    def network(self) -> nn.Module:
        """What validates and is kept: the average where there is one."""
        return self.model if self.average is None else self.average

    def draw(self) -> NDArray[np.uint8]:
        """A picture (H, W, 3) of what the network makes of a few pictures of the validation set."""
        raise NotImplementedError

    # -- training

    def note_step(self, values: Mapping[str, Tensor], loss: Tensor) -> None:
        """Adds what a training step gave to the sums of the epoch."""
        with torch.no_grad():
            self.add({"loss": loss, **values}, 1)
            self.suspect("loss", loss)

    def suspect(self, what: str, value: Tensor) -> None:
        """Remembers where a value was first not finite; the device is not waited for."""
        here = (self.current_epoch, self.batch_number, self.global_step, SUSPECTS.index(what))
        before = self.first_bad.to(self.device)
        bad = ~torch.isfinite(value) & (before[0] < 0)
        self.first_bad = torch.where(bad, torch.tensor(here, device=self.device), before)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.batch_number = batch_idx
        if batch_idx == 0:
            self.sums = {}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.follow()

    def follow(self) -> None:
        """Moves the average a step towards the weights."""
        if self.average is not None:
            # a young average forgets faster, or it would carry the random start along
            decay = min(self.config.ema_decay, (1 + self.global_step) / (10 + self.global_step))
            update_average(self.average, self.model, decay)

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        # Lightning's own refuses every fused optimizer under mixed precision, also where no gradient is scaled
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip or math.inf)
        if self.config.precision != "16-mixed":  # where overflow is expected, and the scaler leaves such a step out
            self.suspect("gradient", norm)

    # -- validation

    def on_validation_epoch_start(self) -> None:
        self.train_means = self._means("train")
        self.sums = {}

    def on_validation_epoch_end(self) -> None:
        self.record = {**self.train_means, **self._means("val")}
        self.complete_record()
        self.sums = {}
        self.record["lr"] = self.trainer.optimizers[0].param_groups[-1]["lr"]
        self.log_dict(self.record)  # for Lightning's early stopping

    def complete_record(self) -> None:
        """Adds to `record` what is no mean over the epoch."""

    def remarks(self) -> list[str]:
        """What is to be said of `record`, in plain words."""
        return []

    # -- what Lightning asks for

    def lr_scales(self) -> Mapping[int, float]:
        """The share of the learning rate that a parameter has, by `id`; 1 where it is not named."""
        return {}

    def configure_optimizers(self) -> Any:
        config, scales = self.config, self.lr_scales()
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                decay = config.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((config.lr * scales.get(id(parameter), 1.0), decay), []).append(parameter)
        optimizer = AdamW(
            [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in sorted(groups.items())],
            # a fused step unscales fp16 gradients by itself, after they were clipped
            fused=self.device.type in ("cpu", "cuda") and config.precision != "16-mixed",
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_factor(self, step: int) -> float:
        """The share of the peak learning rate in step `step`: linear warm-up, then a cosine down to 0."""
        total = self.config.epochs * self.steps_per_epoch
        warmup = min(self.config.warmup_epochs * self.steps_per_epoch, total / 5)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["format_version"] = FORMAT_VERSION
        checkpoint["ear"] = {
            "sums": all_reduce_sums(self.sums),
            "steps_per_epoch": self.steps_per_epoch,
            "epochs_done": epochs_done(self.trainer),
            "processes": self.trainer.world_size,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint["ear"]
        if saved["steps_per_epoch"] != self.steps_per_epoch:
            raise DataError(
                f"The run had {saved['steps_per_epoch']} steps an epoch, now it would have {self.steps_per_epoch}: "
                "the training set has changed. Start a new run."
            )
        if self.global_rank == 0:
            self.sums = {name: value.to(self.device) for name, value in saved["sums"].items()}

    # -- helpers

    def generator(self, stream: int, epoch: int, batch: int, total: int) -> torch.Generator:
        """A generator on this device that depends on nothing but the seed and these numbers.

        Args:
            total: samples of the batch on all processes.
        """
        words = np.random.SeedSequence((self.config.seed, stream, epoch, batch, 0)).generate_state(2)
        generator = SharedGenerator(self.device, total, self.global_rank, world_size())
        return generator.manual_seed((int(words[0]) << 31) | int(words[1]) >> 1)

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Adds means over `count` samples to the sums of the epoch; those of none are no numbers, and left out."""
        if not count:
            return
        for name, value in values.items():
            total = self.sums.get(name)
            added = value.detach().double() * count
            self.sums[name] = added if total is None else total + added
        self.sums["count"] = self.sums.get("count", torch.zeros((), device=self.device)) + count

    def _means(self, stage: str) -> dict[str, float]:
        """Log keys and means of the epoch so far, over all processes."""
        self.sums = all_reduce_sums(self.sums)
        count = self.sums["count"].item()
        return {f"{stage}/{name}": self.sums[name].item() / count for name in self.MEANS if name in self.sums}


def epochs_done(trainer: Trainer) -> int:
    """Epochs whose training and validation are behind; Lightning's `current_epoch` lags behind in some hooks."""
    return cast(int, trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average ← decay·average + (1 − decay)·model, for parameters and batch-norm statistics; counters are copied."""
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
    for a, b in pairs:
        if not a.is_floating_point():
            a.copy_(b)

"""What all Lightning modules share: average, optimizer, schedule, epoch sums, checkpoint content."""

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
CHECKED_TERMS = ("loss", "gradient")
"""The values of a training step that must be finite."""
SAMPLE_COUNT = 8
"""Validation pictures in the sample grid of an epoch."""


class EarModule(LightningModule):
    """Trains one network.

    All random numbers come from generators seeded by (seed, stream, epoch, batch), so a run can stop and resume at any
    step, and several processes use the same numbers as one. The sums of an epoch stay on the device, those of this
    rank, in fp32 because Apple's GPUs have no float64; a checkpoint has those of all ranks.

    The average is kept here and not by Lightning's EMAWeightAveraging because it warms up, validates, and is saved
    under its own names, from which a run resumes exactly.

    Attributes:
        SAMPLES_FOLDER: The folder of the run for sample grids.
        EPOCH_MEANS: The figures, without their stage, that are means over an epoch.
        average: The exponential moving average of `model`, or None; it validates, and is what later commands use.
        record: The figures of the last epoch, by log key.
        first_nonfinite: (4,) epoch, batch and step, from 0, of the first non-finite term, and its index in
            `CHECKED_TERMS`; -1 if there is none.
    """

    SAMPLES_FOLDER: ClassVar[str]
    EPOCH_MEANS: ClassVar[Sequence[str]]
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
        self.first_nonfinite = torch.full((4,), -1)
        self.batch_number = 0

    @property
    def network(self) -> nn.Module:
        """The network that validates: the average if there is one."""
        return self.model if self.average is None else self.average

    def sample_grid(self) -> NDArray[np.uint8]:
        """An image grid (H, W, 3) of sample reconstructions or predictions on the validation set."""
        raise NotImplementedError

    # -- training

    def accumulate(self, terms: Mapping[str, Tensor], loss: Tensor) -> None:
        """Adds the terms of a training step to the sums of the epoch."""
        with torch.no_grad():
            self.add({"loss": loss, **terms}, 1)
            self.record_nonfinite("loss", loss)

    def record_nonfinite(self, term: str, value: Tensor) -> None:
        """Remembers where a term was first not finite, without synchronizing with the device."""
        position = (self.current_epoch, self.batch_number, self.global_step, CHECKED_TERMS.index(term))
        previous = self.first_nonfinite.to(self.device)
        is_first = ~torch.isfinite(value) & (previous[0] < 0)
        self.first_nonfinite = torch.where(is_first, torch.tensor(position, device=self.device), previous)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.batch_number = batch_idx
        if batch_idx == 0:
            self.sums = {}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.update_average()

    def update_average(self) -> None:
        """Moves the average one step towards the weights."""
        if self.average is not None:
            # a lower decay in early steps, so that the average does not retain the initial weights
            decay = min(self.config.ema_decay, (1 + self.global_step) / (10 + self.global_step))
            lerp_average(self.average, self.model, decay)

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        # Lightning's own rejects every fused optimizer under mixed precision, even if no gradient is scaled
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip or math.inf)
        if self.config.precision != "16-mixed":  # which may overflow: the scaler skips such a step
            self.record_nonfinite("gradient", norm)

    # -- validation

    def on_validation_epoch_start(self) -> None:
        self.train_means = self._means("train")
        self.sums = {}

    def on_validation_epoch_end(self) -> None:
        self.record = {**self.train_means, **self._means("val")}
        self.finish_record()
        self.sums = {}
        self.record["lr"] = self.trainer.optimizers[0].param_groups[-1]["lr"]
        self.log_dict(self.record)  # for Lightning's early stopping

    def finish_record(self) -> None:
        """Adds the figures to `record` that are not means over the epoch."""

    def epoch_warnings(self) -> list[str]:
        """Warnings about the figures in `record`."""
        return []

    # -- hooks of Lightning

    def lr_scales(self) -> Mapping[int, float]:
        """Learning rates as fractions of `lr`, by `id` of the parameter; 1 for all others."""
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
            # a fused step would unscale fp16 gradients after they were clipped; False would loop over the tensors
            fused=(self.device.type in ("cpu", "cuda") and config.precision != "16-mixed") or None,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_factor(self, step: int) -> float:
        """The fraction of the peak learning rate in step `step`: linear warm-up, then a cosine to 0."""
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
                f"The run had {saved['steps_per_epoch']} steps per epoch and would now have {self.steps_per_epoch}: "
                "the training set has changed. Start a new run."
            )
        if self.global_rank == 0:
            self.sums = {name: value.to(self.device, torch.float32) for name, value in saved["sums"].items()}

    # -- helpers

    def generator(self, stream: int, epoch: int, batch: int, total: int) -> torch.Generator:
        """A generator on this device, seeded by `seed` and these numbers.

        Args:
            stream: `TRAIN_STREAM` or `VAL_STREAM`.
            epoch: Number of the epoch.
            batch: Number of the batch in the epoch.
            total: Samples in the global batch.
        """
        words = np.random.SeedSequence((self.config.seed, stream, epoch, batch, 0)).generate_state(2)
        generator = SharedGenerator(self.device, total, self.global_rank, world_size())
        return generator.manual_seed((int(words[0]) << 31) | int(words[1]) >> 1)

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Adds means over `count` samples to the sums of the epoch; means over 0 samples are NaN and ignored."""
        if not count:
            return
        for name, value in values.items():
            total = self.sums.get(name)
            term = value.detach().float() * count
            self.sums[name] = term if total is None else total + term
        self.sums["count"] = self.sums.get("count", torch.zeros((), device=self.device)) + count

    def _means(self, stage: str) -> dict[str, float]:
        """The means of the epoch so far over all ranks, by log key."""
        self.sums = all_reduce_sums(self.sums)
        count = self.sums["count"].item()
        return {f"{stage}/{name}": self.sums[name].item() / count for name in self.EPOCH_MEANS if name in self.sums}


def epochs_done(trainer: Trainer) -> int:
    """The number of epochs that are trained and validated; in some hooks Lightning's `current_epoch` is behind."""
    return cast(int, trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]


@torch.no_grad()
def lerp_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average ← decay·average + (1 − decay)·model, for parameters and batch-norm statistics; counters are copied.

    Args:
        average: Changed in place.
        model: Of the same class.
        decay: In [0, 1].

    >>> average, model = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.zeros_(average.bias), nn.init.ones_(model.bias)
    >>> lerp_average(average, model, 0.75)
    >>> average.bias.item()
    0.25
    """
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
    for a, b in pairs:
        if not a.is_floating_point():
            a.copy_(b)

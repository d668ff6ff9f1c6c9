"""Where model, objective and annealing meet: what one step of training and of validation does."""

import copy
import dataclasses
import math
from typing import Any, cast

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from earcli.config import ObjectiveConfig, TrainConfig
from earcli.data.augment import STRENGTHS, augment
from earcli.data.batches import Batch, as_images
from earcli.errors import DataError
from earcli.losses.latent import kl_nats, nt_xent
from earcli.losses.objective import TERMS, Objective
from earcli.losses.perceptual import PerceptualLoss
from earcli.metrics.image import mse, psnr, psnr_from_mse, ssim, to_unit
from earcli.metrics.latent import active_units
from earcli.models.vae import EarVAE
from earcli.training.annealing import Annealing
from earcli.training.optimizer import AdamW

TRAIN_STREAM, VAL_STREAM = 0, 1


class TeacherModule(LightningModule):
    """Trains an `EarVAE`.

    Every random draw comes from a generator seeded by (seed, stream, epoch, batch), so a run can stop and resume at
    any step. Sums over an epoch stay on the device and travel in the checkpoint.

    Attributes:
        average: the moving average of `model`, or None; it validates, and is what later commands use.
        record: what the last epoch gave, by log key.
    """

    def __init__(
        self,
        config: TrainConfig,
        steps_per_epoch: int,
        trunk: dict[str, Tensor] | None = None,
        vgg: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(config.to_dict())
        self.config, self.steps_per_epoch = config, steps_per_epoch
        self.model = EarVAE(config.latent_dim, config.image_size, config.resnet_version, config.freeze_layers)
        if trunk is not None:
            self.model.encoder.load_trunk(trunk)
        self.model.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False) if config.ema_decay else None
        weights = {f.name: getattr(config, f.name) for f in dataclasses.fields(ObjectiveConfig) if f.type is float}
        self.objective = Objective(None if vgg is None else PerceptualLoss(vgg), **weights)
        self.annealing = Annealing(
            config.kl_weight,
            config.kl_anneal_strategy,
            config.kl_anneal_threshold_psnr,
            config.kl_anneal_epochs * steps_per_epoch,
        )
        self.anneal_start = self.annealing.first_state()
        self.record: dict[str, float] = {}
        self.sums: dict[str, Tensor] = {}
        self.first_bad_step = torch.tensor(-1)

    # -- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch_idx == 0:
            self.sums = {}
        generator = self.generator(TRAIN_STREAM, self.current_epoch, batch_idx)
        target = augment(as_images(batch["pixels"]), STRENGTHS[self.config.augment], generator)
        output = self.model(target, generator)
        draws = (output.z, output.posterior.sample(generator)) if self.config.contrastive_weight else None
        losses = self.objective(
            output.reconstruction, target, *output.posterior, draws, self.kl_weight, batch["subject"]
        )
        with torch.no_grad():
            quality = psnr(to_unit(output.reconstruction), to_unit(target)).mean()
            self._add({"loss": losses.total, **losses.terms, "psnr": quality}, 1)
            bad = ~torch.isfinite(losses.total) & (self.first_bad_step.to(self.device) < 0)
            self.first_bad_step = torch.where(bad, self.global_step, self.first_bad_step.to(self.device))
        total: Tensor = losses.total
        return total

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
        # Lightning's own refuses every fused optimiser under mixed precision, also where no gradient is scaled
        if self.config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)

    @property
    def kl_weight(self) -> float:
        """The weight of the KL term in the step that comes next."""
        return self.annealing.weight_at(self.anneal_start, self.global_step)

    # -- validation

    def on_validation_epoch_start(self) -> None:
        self.train_means = self._means("train")
        self.sums = {}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        target = as_images(batch["pixels"])
        output = (self.average or self.model)(target)
        losses = self.objective(output.reconstruction, target, *output.posterior, None, self.config.kl_weight)
        a, b = to_unit(output.reconstruction), to_unit(target)
        means = output.posterior.mu.double()
        values = {
            "loss": losses.total,
            **losses.terms,
            "psnr": psnr(a, b).mean(),
            "mse": mse(a, b).mean(),
            "ssim": ssim(a, b).mean(),
            "kl_nats": kl_nats(*output.posterior),
            "mu": means.mean(0),
            "mu_squared": means.square().mean(0),
        }
        if self.config.contrastive_weight:
            generator = self.generator(VAL_STREAM, 0, batch_idx)
            draws = [output.posterior.sample(generator) for _ in range(2)]
            values["contrastive"] = nt_xent(draws[0], draws[1], batch["subject"])
        self._add(values, len(target))

    def on_validation_epoch_end(self) -> None:
        record = {**self.train_means, **self._means("val")}
        count = self.sums["count"].item()
        mean, square = self.sums["mu"] / count, self.sums["mu_squared"] / count
        record["val/psnr_pooled"] = float(psnr_from_mse(torch.tensor(record.pop("val/mse"))))
        record["val/active_units"] = active_units((square - mean.square()) * count / max(count - 1, 1))
        record["kl_weight"] = self.kl_weight
        record["lr"] = self.trainer.optimizers[0].param_groups[-1]["lr"]
        self.anneal_start = self.annealing.next_state(self.anneal_start, record["val/psnr"], self.global_step)
        self.log_dict(record)  # for Lightning's early stopping
        self.record = record

    # -- what Lightning asks for

    def configure_optimizers(self) -> Any:
        config = self.config
        trunk = {id(p) for p in self.model.encoder.trunk_parameters()}
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                pretrained = id(parameter) in trunk and config.weights != "none"
                lr = config.lr * (config.trunk_lr_scale if pretrained else 1)
                decay = config.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((lr, decay), []).append(parameter)
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
        checkpoint["ear"] = {
            "anneal_start": self.anneal_start,
            "sums": self.sums,
            "steps_per_epoch": self.steps_per_epoch,
            "epochs_done": epochs_done(self.trainer),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint["ear"]["steps_per_epoch"] != self.steps_per_epoch:
            raise DataError(
                f"The run had {checkpoint['ear']['steps_per_epoch']} steps an epoch, now it would have "
                f"{self.steps_per_epoch}: the training set or the number of devices has changed. Start a new run."
            )
        self.anneal_start = checkpoint["ear"]["anneal_start"]
        self.sums = {name: value.to(self.device) for name, value in checkpoint["ear"]["sums"].items()}

    # -- helpers

    def generator(self, stream: int, epoch: int, batch: int) -> torch.Generator:
        """A generator on this device that depends on nothing but the seed, these numbers and the process."""
        words = np.random.SeedSequence((self.config.seed, stream, epoch, batch, self.global_rank)).generate_state(2)
        return torch.Generator(self.device).manual_seed((int(words[0]) << 31) | int(words[1]) >> 1)

    def _add(self, values: dict[str, Tensor], count: int) -> None:
        for name, value in values.items():
            total = self.sums.get(name)
            added = value.detach().double() * count
            self.sums[name] = added if total is None else total + added
        self.sums["count"] = self.sums.get("count", torch.zeros((), device=self.device)) + count

    def _means(self, stage: str) -> dict[str, float]:
        """Log keys and means of the epoch so far, over all processes."""
        for name, value in self.sums.items():
            self.sums[name] = self.trainer.strategy.reduce(value, reduce_op="sum")
        count = self.sums["count"].item()
        names = ("loss", *TERMS, "psnr", "mse", "ssim", "kl_nats")
        return {f"{stage}/{name}": self.sums[name].item() / count for name in names if name in self.sums}


def epochs_done(trainer: Trainer) -> int:
    """Epochs whose training and validation are behind; Lightning's `current_epoch` lags behind in some hooks."""
    return cast(int, trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """average ← decay·average + (1 − decay)·model, for parameters and batch-norm statistics; counters are copied."""
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
    for a, b in pairs:
        if not a.is_floating_point():
            a.copy_(b)

"""Where model, objective and annealing meet: what one step of training a teacher does."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from earcli.config.teacher import ObjectiveConfig, TrainConfig
from earcli.data.augmentation import STRENGTHS, augment
from earcli.data.batches import Batch, as_images, as_pixels, evenly_spaced
from earcli.data.cache import Crops
from earcli.losses.latent import kl_nats, nt_xent
from earcli.losses.objective import TERMS, Objective
from earcli.losses.perceptual import PerceptualLoss
from earcli.metrics.image import mse, psnr, psnr_from_mse, ssim, to_unit
from earcli.metrics.latent import active_units
from earcli.models.vae import EarVAE
from earcli.reporting.plots import image_rows
from earcli.training.annealing import Annealing
from earcli.training.distributed import all_gather_rows, sum_across_ranks, world_size
from earcli.training.health import collapse
from earcli.training.module import TRAIN_STREAM, VAL_STREAM, EarModule

SHOWN_EARS = 8
COLLAPSED_EPOCHS = 2


class TeacherModule(EarModule):
    """Trains an `EarVAE`.

    Args:
        val: the validation set, of which `draw` shows a few.
    """

    PICTURES = "reconstructions"
    MEANS = ("loss", *TERMS, "psnr", "mse", "ssim", "kl_nats")
    config: TrainConfig
    model: EarVAE
    average: EarVAE | None

    def __init__(
        self,
        config: TrainConfig,
        steps_per_epoch: int,
        trunk: dict[str, Tensor] | None = None,
        vgg: dict[str, Tensor] | None = None,
        val: Crops | None = None,
    ) -> None:
        model = EarVAE(config.latent_dim, config.image_size, config.resnet_version, config.freeze_layers)
        if trunk is not None:
            model.encoder.load_trunk(trunk)
        super().__init__(config, model, steps_per_epoch)
        self.val = val
        weights = {f.name: getattr(config, f.name) for f in dataclasses.fields(ObjectiveConfig) if f.type is float}
        self.objective = Objective(None if vgg is None else PerceptualLoss(vgg), **weights)
        # constants, which DDP would send from the first process to the others before every step
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
            self, [f"objective.{name}" for name, _ in self.objective.named_buffers()]
        )
        self.annealing = Annealing(
            config.kl_weight,
            config.kl_anneal_strategy,
            config.kl_anneal_threshold_psnr,
            config.kl_anneal_epochs * steps_per_epoch,
        )
        self.anneal_start = self.annealing.first_state()
        self.collapsed = 0

    def draw(self) -> NDArray[np.uint8]:
        """Ears above, what the network makes of them below."""
        assert self.val is not None
        pixels = np.array(self.val.pixels[evenly_spaced(len(self.val), SHOWN_EARS)])
        images = as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device))
        return image_rows([pixels, as_pixels(self.network(images).reconstruction)])

    # -- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images = as_images(batch["pixels"])
        total = len(images) * world_size()
        generator = self.generator(TRAIN_STREAM, self.current_epoch, batch_idx, total)
        target = augment(images, STRENGTHS[self.config.augment], generator)
        output = self.model(target, generator)
        draws, subjects = None, None
        if self.config.contrastive_weight:
            draws = tuple(all_gather_rows(z, total) for z in (output.z, output.posterior.sample(generator)))
            subjects = all_gather_rows(batch["subject"], total)
        losses = self.objective(output.reconstruction, target, *output.posterior, draws, self.kl_weight, subjects)
        with torch.no_grad():
            quality = psnr(to_unit(output.reconstruction), to_unit(target)).mean()
        self.note_step({**losses.terms, "psnr": quality}, losses.total)
        loss: Tensor = losses.total
        return loss

    @property
    def kl_weight(self) -> float:
        """The weight of the KL term in the step that comes next."""
        return self.annealing.weight_at(self.anneal_start, self.global_step)

    # -- validation

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        target = as_images(batch["pixels"])
        output = self.network(target)
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
            total = sum_across_ranks(len(target), self.device)
            generator = self.generator(VAL_STREAM, 0, batch_idx, total)
            first, second = (all_gather_rows(output.posterior.sample(generator), total) for _ in range(2))
            values["contrastive"] = nt_xent(first, second, all_gather_rows(batch["subject"], total))
        self.add(values, len(target))

    def complete_record(self) -> None:
        record = self.record
        count = self.sums["count"].item()
        mean, square = self.sums["mu"] / count, self.sums["mu_squared"] / count
        record["val/psnr_pooled"] = float(psnr_from_mse(torch.tensor(record.pop("val/mse"))))
        record["val/active_units"] = active_units((square - mean.square()) * count / max(count - 1, 1))
        record["kl_weight"] = self.kl_weight
        self.anneal_start = self.annealing.next_state(self.anneal_start, record["val/psnr"], self.global_step)

    def remarks(self) -> list[str]:
        text = collapse(self.record, self.config.latent_dim)
        self.collapsed = self.collapsed + 1 if text else 0
        return [text] if self.collapsed == COLLAPSED_EPOCHS else []  # once, and not for a first epoch of few steps

    # -- what Lightning asks for

    def lr_scales(self) -> Mapping[int, float]:
        if self.config.weights == "none":
            return {}
        return {id(p): self.config.trunk_lr_scale for p in self.model.encoder.trunk_parameters()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["ear"]["anneal_start"] = self.anneal_start

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.anneal_start = checkpoint["ear"]["anneal_start"]

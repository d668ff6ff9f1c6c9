"""The training step and validation of teachers."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from earcli.config.teacher import ObjectiveConfig, TrainConfig
from earcli.data.augmentation import STRENGTHS, augment
from earcli.data.batches import Batch, as_images, as_pixels, evenly_spaced
from earcli.data.cache import Crops
from earcli.data.pixels import undo_mirroring
from earcli.losses.latent import kl_nats, nt_xent
from earcli.losses.objective import TERMS, Losses, Objective
from earcli.losses.perceptual import PerceptualLoss
from earcli.metrics.image import mse, psnr, psnr_from_mse, ssim, to_unit
from earcli.metrics.latent import active_units
from earcli.models.encoder import Posterior
from earcli.models.laterality import Laterality
from earcli.models.skeleton import SkeletonBasis
from earcli.models.vae import EarVAE, VAEOutput
from earcli.reporting.plots import image_rows
from earcli.training.annealing import Annealing
from earcli.training.distributed import all_gather_rows, broadcast_from_rank_0, sum_across_ranks, world_size
from earcli.training.health import collapse_warning
from earcli.training.module import SAMPLE_COUNT, TRAIN_STREAM, VAL_STREAM, EarModule

COLLAPSED_EPOCHS = 2
"""Consecutive epochs with a collapsed latent space before the warning: the first epoch may have few steps."""


class TeacherModule(EarModule):
    """Trains an `EarVAE`, on crops of left ears unless the configuration has mixed ones.

    Args:
        config: The configuration.
        steps_per_epoch: Optimizer steps.
        backbone: State dict of a torchvision ResNet to start from; None starts from random weights.
        vgg: State dict of the VGG16 of the perceptual term; None omits the term.
        skeleton: The basis of the model's skeleton; None leaves it empty, to be filled from a checkpoint.
        laterality: What mirrored the right ears of the crops; None likewise.
        val: The validation set, for `sample_grid`.
    """

    SAMPLES_FOLDER = "reconstructions"
    EPOCH_MEANS = ("loss", *TERMS, "deep", "psnr", "psnr_deep", "psnr_skeleton", "mse", "ssim", "kl_nats")
    config: TrainConfig
    model: EarVAE
    average: EarVAE | None

    def __init__(
        self,
        config: TrainConfig,
        steps_per_epoch: int,
        backbone: dict[str, Tensor] | None = None,
        vgg: dict[str, Tensor] | None = None,
        skeleton: SkeletonBasis | None = None,
        laterality: Laterality | None = None,
        val: Crops | None = None,
    ) -> None:
        model = EarVAE.untrained(config)
        if backbone is not None:
            model.encoder.load_backbone(backbone)
        if skeleton is not None and model.skeleton is not None:
            model.skeleton.set_basis(skeleton)
        if laterality is not None and model.laterality is not None:
            model.laterality.load_state_dict(laterality.state_dict())
        super().__init__(config, model, steps_per_epoch)
        self.val = val
        weights = {f.name: getattr(config, f.name) for f in dataclasses.fields(ObjectiveConfig) if f.type is float}
        self.objective = Objective(None if vgg is None else PerceptualLoss(vgg), **weights)
        # constants, which DDP would otherwise broadcast from rank 0 before every step
        constant = [name for name, _ in self.named_buffers() if name.startswith("objective.")] + [*self._fitted()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, constant)  # type: ignore[no-untyped-call]
        self.annealing = Annealing(
            config.kl_weight,
            config.kl_anneal_strategy,
            config.kl_anneal_threshold_psnr,
            config.kl_anneal_epochs * steps_per_epoch,
        )
        self.anneal_start = self.annealing.initial_state()
        self.collapsed_epochs = 0

    def sample_grid(self) -> NDArray[np.uint8]:
        """Ears in the upper row, reconstructions in the lower one."""
        assert self.val is not None
        rows = evenly_spaced(len(self.val), SAMPLE_COUNT)
        pixels = np.array(self.val.pixels[rows])
        images = as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device))
        reconstructions = as_pixels(cast(EarVAE, self.network).autoencode(images).reconstruction)
        return image_rows([undo_mirroring(self.val.pixels, rows, part) for part in (pixels, reconstructions)])

    # -- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images = as_images(batch["pixels"])
        total = len(images) * world_size()
        generator = self.generator(TRAIN_STREAM, self.current_epoch, batch_idx, total)
        strength = STRENGTHS[self.config.augment]
        target = augment(images, strength, generator, flips=not self.config.mirrors_right)
        output = self.model.autoencode(target, generator)
        samples, subjects = None, None
        if self.config.contrastive_weight:
            pair = (self._learned(z) for z in (output.z, output.posterior.sample(generator)))
            first, second = (all_gather_rows(z, total) for z in pair)
            samples = first, second
            subjects = all_gather_rows(batch["subject"], total)
        losses = self._losses(output, target, self.kl_weight, samples, subjects)
        with torch.no_grad():
            quality = psnr(to_unit(output.reconstruction), to_unit(target)).mean()
        self.accumulate({**losses.terms, "psnr": quality}, losses.total)
        loss: Tensor = losses.total
        return loss

    def _losses(
        self,
        output: VAEOutput,
        target: Tensor,
        kl_weight: float,
        samples: tuple[Tensor, Tensor] | None = None,
        subjects: Tensor | None = None,
    ) -> Losses:
        """The objective on an output; see `Objective.forward`."""
        return self.objective(  # type: ignore[no-any-return]
            output.reconstruction,
            target,
            *map(self._learned, output.posterior),
            kl_weight=kl_weight,
            samples=samples,
            subjects=subjects,
            deep=output.deep if self.config.skeleton_dim else None,
        )

    def _learned(self, codes: Tensor) -> Tensor:
        """The learned dimensions of codes (B, code_dim), without those of the skeleton."""
        return codes[:, self.config.skeleton_dim :]

    @property
    def kl_weight(self) -> float:
        """The weight of the KL term in the next step."""
        return self.annealing.weight_at(self.anneal_start, self.global_step)

    # -- validation

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        target = as_images(batch["pixels"])
        output = cast(EarVAE, self.network).autoencode(target)
        losses = self._losses(output, target, self.config.kl_weight)
        a, b = to_unit(output.reconstruction), to_unit(target)
        means = self._learned(output.posterior.mu)
        values = {
            "loss": losses.total,
            **losses.terms,
            "psnr": psnr(a, b).mean(),
            "mse": mse(a, b).mean(),
            "ssim": ssim(a, b).mean(),
            "kl_nats": kl_nats(*map(self._learned, output.posterior)),
            "mu": means.mean(0),
            "mu_squared": means.square().mean(0),
        }
        skeleton = cast(EarVAE, self.network).skeleton
        if skeleton is not None:
            alone = skeleton.image(output.posterior.mu[:, : self.config.skeleton_dim]).clamp(-1, 1)
            values["psnr_deep"] = psnr(to_unit(output.deep), b).mean()
            values["psnr_skeleton"] = psnr(to_unit(alone), b).mean()
        if self.config.contrastive_weight:
            values["contrastive"] = self._contrastive(output.posterior, batch, batch_idx)
        self.add(values, len(target))

    def _contrastive(self, posterior: Posterior, batch: Batch, batch_idx: int) -> Tensor:
        """The contrastive term of the global validation batch."""
        total = sum_across_ranks(len(posterior.mu), self.device)
        generator = self.generator(VAL_STREAM, 0, batch_idx, total)
        first, second = (all_gather_rows(self._learned(posterior.sample(generator)), total) for _ in range(2))
        return nt_xent(first, second, all_gather_rows(batch["subject"], total))

    def finish_record(self) -> None:
        record = self.record
        count = self.sums["count"].item()
        mean, square = self.sums["mu"] / count, self.sums["mu_squared"] / count
        record["val/psnr_pooled"] = float(psnr_from_mse(torch.tensor(record.pop("val/mse"))))
        record["val/active_units"] = active_units((square - mean.square()) * count / max(count - 1, 1))
        record["kl_weight"] = self.kl_weight
        # with a skeleton, the reconstruction passes the threshold before the networks have learned anything
        learned_psnr = record.get("val/psnr_deep", record["val/psnr"])
        self.anneal_start = self.annealing.next_state(self.anneal_start, learned_psnr, self.global_step)

    def epoch_warnings(self) -> list[str]:
        warning = collapse_warning(self.record, self.config.latent_dim)
        self.collapsed_epochs = self.collapsed_epochs + 1 if warning else 0
        return [warning] if self.collapsed_epochs == COLLAPSED_EPOCHS else []

    # -- hooks of Lightning

    def on_fit_start(self) -> None:
        broadcast_from_rank_0([*self._fitted().values()])  # each machine may have fitted its own

    def _fitted(self) -> dict[str, Tensor]:
        """The buffers that were fitted before training, by name."""
        return {n: value for n, value in self.named_buffers() if ".skeleton." in n or ".laterality." in n}

    def lr_scales(self) -> Mapping[int, float]:
        if self.config.weights == "none":
            return {}
        return self.model.encoder.lr_scales(self.config.trunk_lr_scale, self.config.layer_decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["ear"]["anneal_start"] = self.anneal_start

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.anneal_start = checkpoint["ear"]["anneal_start"]

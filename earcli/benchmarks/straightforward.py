"""The straightforward training step: what one would write first, to measure the fast one against.

Eager, fp32, contiguous tensors, ordinary convolutions, losses from general building blocks, PyTorch's default AdamW,
the loss read after every step. It shares weights and results with the fast step, not code.
"""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from earcli.losses.perceptual import COMPARED, CONVOLUTIONS, IMAGENET_MEAN, IMAGENET_STD, POOLED_BEFORE
from earcli.losses.pixel import CENTER_SIGMA
from earcli.models.convolution import Conv3x3
from earcli.models.vae import EarVAE


class NaiveStep:
    """Trains a copy of a model with the seven-term objective.

    Args:
        model: is left as it is.
        weights: of the terms, by the objective's names; 0 leaves a term out.
        vgg: the state dict of torchvision's `vgg16`; None leaves the perceptual term out.
        kl_weight: w_KL.
        lr: AdamW's learning rate.
    """

    def __init__(
        self,
        model: EarVAE,
        weights: Mapping[str, float],
        vgg: Mapping[str, Tensor] | None,
        kl_weight: float,
        lr: float,
    ) -> None:
        self.model = copy.deepcopy(model).to(memory_format=torch.contiguous_format).train()
        for module in self.model.modules():
            if isinstance(module, Conv3x3):
                module.__class__ = nn.Conv2d  # type: ignore[assignment]
        self.weights = {**weights, "perceptual": weights["perceptual"] if vgg else 0.0, "kl": kl_weight}
        self.vgg = vgg
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)

    def __call__(self, images: Tensor, generator: torch.Generator) -> float:
        """One step on images (B, 3, S, S) in [-1, 1]; returns the loss before it."""
        self.optimizer.zero_grad()
        loss = self.loss(images, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        output = self.model(images, generator)
        terms = self.terms(output.reconstruction, images)
        mu, logvar = output.posterior
        terms["kl"] = (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).sum(1).mean() / mu.shape[1]
        if self.weights["contrastive"]:
            terms["contrastive"] = nt_xent(output.z, output.posterior.sample(generator))
        total: Tensor = sum((self.weights[name] * value for name, value in terms.items()), torch.zeros(()))
        return total

    def terms(self, made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        terms = {"l1": F.l1_loss(made, wanted)}
        if self.weights["ssim_loss"]:
            ssim = structural_similarity_index_measure((made + 1) / 2, (wanted + 1) / 2, data_range=1.0)
            assert isinstance(ssim, Tensor)
            terms["ssim_loss"] = 1 - ssim
        if self.weights["edge"]:
            terms["edge"] = sum(
                (F.l1_loss(a, b) for a, b in zip(sobel(made), sobel(wanted), strict=True)), made.new_zeros(())
            )
        if self.weights["center"]:
            at = (torch.arange(made.shape[-1]) + 0.5) / made.shape[-1] - 0.5
            mask = torch.exp(-(at[:, None] ** 2 + at**2) / (2 * CENTER_SIGMA**2))
            terms["center"] = (mask * (made - wanted).abs()).sum() / (3 * mask.sum() * len(made))
        if self.vgg is not None and self.weights["perceptual"]:
            pairs = zip(self.features(made), self.features(wanted), strict=True)
            terms["perceptual"] = torch.stack([F.l1_loss(a, b) for a, b in pairs]).mean()
        return terms

    def features(self, images: Tensor) -> list[Tensor]:
        assert self.vgg is not None
        mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
        x, found = ((images + 1) / 2 - mean) / std, []
        for index in CONVOLUTIONS:
            if index in POOLED_BEFORE:
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, self.vgg[f"features.{index}.weight"], self.vgg[f"features.{index}.bias"], padding=1))
            if index in COMPARED:
                found.append(x)
        return found


def sobel(images: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical gradients, each channel by itself."""
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across, down = (F.conv2d(padded, k.expand(3, 1, 3, 3), groups=3) for k in (kernel, kernel.T))
    return across, down


def nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """NT-Xent at a temperature of 0.5, every other ear a negative."""
    z = F.normalize(torch.cat([first, second]), dim=1)
    similarity = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    count = len(first)
    return F.cross_entropy(similarity, torch.cat([torch.arange(count) + count, torch.arange(count)]))

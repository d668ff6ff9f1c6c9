"""The straightforward training step, a baseline for the optimized one.

Eager, fp32, contiguous tensors, ordinary convolutions, losses composed of general building blocks, PyTorch's default
AdamW, the loss read after every step. It computes the same values as the optimized step and shares none of its code.
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
        model: The model to copy.
        weights: Weight of each term, by the names of `Objective`; 0 disables a term.
        vgg: State dict of torchvision's `vgg16`; None disables the perceptual term.
        kl_weight: Weight of the KL term per latent dimension.
        lr: Learning rate of AdamW.
        device: Where the step runs.
    """

    def __init__(
        self,
        model: EarVAE,
        weights: Mapping[str, float],
        vgg: Mapping[str, Tensor] | None,
        kl_weight: float,
        lr: float,
        device: torch.device,
    ) -> None:
        self.model = copy.deepcopy(model).to(device).to(memory_format=torch.contiguous_format).train()
        for module in self.model.modules():
            if isinstance(module, Conv3x3):
                module.__class__ = nn.Conv2d  # type: ignore[assignment]
        self.weights = {**weights, "perceptual": weights["perceptual"] if vgg else 0.0, "kl": kl_weight}
        self.vgg = vgg and {name: tensor.to(device) for name, tensor in vgg.items()}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)

    def __call__(self, images: Tensor, generator: torch.Generator) -> float:
        """One step on images (B, 3, S, S) in [-1, 1]; returns the loss before the update."""
        self.optimizer.zero_grad()
        loss = self._loss(images, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def _loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        output = self.model(images, generator)
        terms = self._pixel_terms(output.reconstruction, images)
        if self.vgg is not None and self.weights["perceptual"]:
            pairs = zip(_features(self.vgg, output.reconstruction), _features(self.vgg, images), strict=True)
            terms["perceptual"] = torch.stack([F.l1_loss(a, b) for a, b in pairs]).mean()
        skip = self.model.skeleton_dim
        mu, logvar = (value[:, skip:] for value in output.posterior)
        terms["kl"] = (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).sum(1).mean() / mu.shape[1]
        if self.weights["contrastive"]:
            terms["contrastive"] = _nt_xent(output.z[:, skip:], output.posterior.sample(generator)[:, skip:])
        weighted = [self.weights[name] * value for name, value in terms.items()]
        if skip:
            weighted += [self.weights[name] * value for name, value in self._pixel_terms(output.deep, images).items()]
        return torch.stack(weighted).sum()

    def _pixel_terms(self, reconstruction: Tensor, target: Tensor) -> dict[str, Tensor]:
        terms = {"l1": F.l1_loss(reconstruction, target)}
        if self.weights["ssim_loss"]:
            ssim = structural_similarity_index_measure((reconstruction + 1) / 2, (target + 1) / 2, data_range=1.0)
            assert isinstance(ssim, Tensor)
            terms["ssim_loss"] = 1 - ssim
        if self.weights["edge"]:
            pairs = zip(_sobel(reconstruction), _sobel(target), strict=True)
            terms["edge"] = torch.stack([F.l1_loss(a, b) for a, b in pairs]).sum()
        if self.weights["center"]:
            side = target.shape[-1]
            offset = (torch.arange(side, device=target.device) + 0.5) / side - 0.5
            mask = torch.exp(-(offset[:, None] ** 2 + offset**2) / (2 * CENTER_SIGMA**2))
            terms["center"] = (mask * (reconstruction - target).abs()).sum() / (3 * mask.sum() * len(target))
        return terms


def _features(vgg: Mapping[str, Tensor], images: Tensor) -> list[Tensor]:
    """relu1_2, relu2_2, relu3_3 and relu4_3 of VGG16 on images in [-1, 1]."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x, features = ((images + 1) / 2 - mean) / std, []
    for index in CONVOLUTIONS:
        if index in POOLED_BEFORE:
            x = F.max_pool2d(x, 2)
        x = F.relu(F.conv2d(x, vgg[f"features.{index}.weight"], vgg[f"features.{index}.bias"], padding=1))
        if index in COMPARED:
            features.append(x)
    return features


def _sobel(images: Tensor) -> list[Tensor]:
    """Horizontal and vertical gradients of each channel."""
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=images.device) / 8
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return [F.conv2d(padded, k.expand(3, 1, 3, 3), groups=3) for k in (kernel, kernel.T)]


def _nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """NT-Xent (Chen et al. 2020, arXiv:2002.05709) at temperature 0.5; every other ear is a negative."""
    z = F.normalize(torch.cat([first, second]), dim=1)
    similarity = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    count = len(first)
    positives = torch.arange(2 * count, device=z.device).roll(count)
    return F.cross_entropy(similarity, positives)

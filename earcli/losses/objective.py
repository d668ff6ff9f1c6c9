"""The seven-term objective of teachers."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from earcli.losses import latent, pixel
from earcli.losses.perceptual import PerceptualLoss

TERMS = ("l1", "perceptual", "ssim_loss", "edge", "contrastive", "center", "kl")


class Losses(NamedTuple):
    """The weighted total, a scalar to minimize, and the terms by name, unweighted. All are fp32 scalars."""

    total: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module):
    """l1 + w_p·perceptual + w_s·ssim_loss + w_e·edge + w_c·contrastive + w_m·center + w_KL·kl.

    A term of weight 0 is neither computed nor returned, except `kl`, whose weight comes with each call and starts at 0.
    With a deep image, the weighted sum of its pixel terms (l1, ssim_loss, edge, center) is one more term, `deep`: deep
    supervision (Lee et al. 2015, arXiv:1409.5185).

    Args:
        perceptual: None omits the perceptual term.

    >>> images = torch.zeros(2, 3, 64, 64)
    >>> losses = Objective(None)(images, images, torch.ones(2, 4), torch.zeros(2, 4), kl_weight=0.01)
    >>> round(losses.total.item(), 4), list(losses.terms)
    (0.005, ['l1', 'ssim_loss', 'edge', 'center', 'kl'])
    """

    def __init__(
        self,
        perceptual: PerceptualLoss | None,
        *,
        perceptual_weight: float = 1.0,
        ssim_weight: float = 1.0,
        edge_weight: float = 0.5,
        contrastive_weight: float = 0.05,
        center_weight: float = 3.0,
    ) -> None:
        super().__init__()
        self.perceptual = perceptual if perceptual_weight else None
        self.weights = {
            "l1": 1.0,
            "perceptual": perceptual_weight if perceptual is not None else 0.0,
            "ssim_loss": ssim_weight,
            "edge": edge_weight,
            "contrastive": contrastive_weight,
            "center": center_weight,
        }

    def forward(
        self,
        reconstruction: Tensor,
        target: Tensor,
        mu: Tensor,
        logvar: Tensor,
        *,
        kl_weight: float,
        samples: tuple[Tensor, Tensor] | None = None,
        subjects: Tensor | None = None,
        deep: Tensor | None = None,
    ) -> Losses:
        """Computes the terms.

        Args:
            reconstruction: (B, 3, H, W) in [-1, 1].
            target: (B, 3, H, W) in [-1, 1].
            mu: The learned posterior mean, (B, latent_dim).
            logvar: The learned posterior log variance, (B, latent_dim).
            kl_weight: w_KL of this step.
            samples: Two posterior samples per ear, (B, latent_dim) each, for the contrastive term; None omits it.
            subjects: See `nt_xent`.
            deep: What the networks decode without the skeleton, like `reconstruction`; None has no such image.
        """
        terms = self._pixel_terms(reconstruction, target)
        with torch.autocast(target.device.type, enabled=False):
            if self.weights["contrastive"] and samples is not None:
                terms["contrastive"] = latent.nt_xent(*samples, subjects)
            terms["kl"] = latent.kl_nats(mu, logvar) / mu.shape[1]
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(reconstruction.float(), target.float())
        if deep is not None:
            terms["deep"] = self._weighted_sum(self._pixel_terms(deep, target))
        return Losses(self._weighted_sum(terms, kl_weight), terms)

    def _pixel_terms(self, images: Tensor, target: Tensor) -> dict[str, Tensor]:
        with torch.autocast(target.device.type, enabled=False):
            images, target = images.float(), target.float()
            difference = images - target
            terms = {"l1": pixel.l1(difference)}
            if self.weights["ssim_loss"]:
                terms["ssim_loss"] = pixel.ssim_loss(images, target)
            if self.weights["edge"]:
                terms["edge"] = pixel.edge(difference)
            if self.weights["center"]:
                terms["center"] = pixel.center(difference)
        return terms

    def _weighted_sum(self, terms: dict[str, Tensor], kl_weight: float = 0.0) -> Tensor:
        weights = {**self.weights, "kl": kl_weight, "deep": 1.0}
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()

"""What a set of posteriors says about the latent space."""

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVE_VARIANCE = 0.01
CHUNK, MOST = 1024, 8192


def kl_each(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats of every image and dimension (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def active_units(variances: Tensor) -> int:
    """Dimensions whose posterior mean varies over images by more than 0.01 (Burda et al. 2016, arXiv:1509.00519).

    Args:
        variances: of the posterior means over images, (latent_dim,).
    """
    return int((variances > ACTIVE_VARIANCE).sum())


def mean_abs_cosine(codes: Tensor) -> float:
    """Mean |cosine| between the codes of different images; codes (N, D), N at least 2.

    1 where all codes lie on one line, about √(2/(π·D)) where their directions are random. Of more than 8,192 codes,
    8,192 evenly spread ones are compared.
    """
    if len(codes) > MOST:
        codes = codes[torch.linspace(0, len(codes) - 1, MOST).long()]
    unit = F.normalize(codes.float(), dim=1)
    total = sum(float((unit[start : start + CHUNK] @ unit.T).abs().sum()) for start in range(0, len(unit), CHUNK))
    # what each code has with itself does not count
    return (total - float(unit.square().sum())) / (len(unit) * (len(unit) - 1))

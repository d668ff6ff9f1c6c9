"""Statistics of the latent space."""

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVE_VARIANCE = 0.01
CHUNK, MAX_CODES = 1024, 8192


def kl_each(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats of each image and dimension (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def active_units(variances: Tensor) -> int:
    """The number of dimensions with a variance above 0.01 (Burda et al. 2016, arXiv:1509.00519, section 5.2).

    Args:
        variances: Of the posterior means over images, (latent_dim,).

    >>> active_units(torch.tensor([0.5, 0.001]))
    1
    """
    return int((variances > ACTIVE_VARIANCE).sum())


def mean_abs_cosine(codes: Tensor) -> float:
    """Mean |cosine| between the codes of different images; codes (N, D), N at least 2.

    1 if all codes lie on one line, about √(2/(π·D)) if their directions are random. Of more than 8,192 codes, an
    evenly spaced subset of 8,192 is compared.

    >>> mean_abs_cosine(torch.eye(3))
    0.0
    """
    if len(codes) > MAX_CODES:
        codes = codes[torch.linspace(0, len(codes) - 1, MAX_CODES).long()]
    unit = F.normalize(codes.float(), dim=1)
    total = sum(float((unit[start : start + CHUNK] @ unit.T).abs().sum()) for start in range(0, len(unit), CHUNK))
    # without the diagonal
    return (total - float(unit.square().sum())) / (len(unit) * (len(unit) - 1))

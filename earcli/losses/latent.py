"""Terms on the latent space. Each returns a scalar in fp32."""

import torch
import torch.nn.functional as F
from torch import Tensor

from earcli.metrics.latent import kl_each

TEMPERATURE = 0.5


def kl_nats(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats, summed over dimensions, mean over images; both (B, latent_dim).

    >>> kl_nats(torch.ones(2, 3), torch.zeros(2, 3)).item()
    1.5
    """
    return kl_each(mu, logvar).sum(1).mean()


def nt_xent(first: Tensor, second: Tensor, subjects: Tensor | None = None) -> Tensor:
    """Normalized temperature-scaled cross entropy (Chen et al. 2020, arXiv:2002.05709, eq. 1), temperature 0.5.

    Rows i of `first` and `second`, both (B, D), are two posterior samples of one ear, the positive pair. All other ears
    are negatives, except those of the same subject.

    Args:
        first: (B, D).
        second: (B, D).
        subjects: (B,) integers; a negative number is an unknown subject, which equals no other.

    Returns:
        The mean over all 2B samples; 0 for a batch of one, which has no negatives.

    >>> round(nt_xent(torch.eye(2), torch.eye(2)).item(), 4)
    0.2395
    """
    count = len(first)
    if count == 1:
        return first.new_zeros(())
    with torch.autocast(first.device.type, enabled=False):
        z = F.normalize(torch.cat([first, second]).float(), dim=1)
        similarity = z @ z.T / TEMPERATURE  # (2B, 2B)
        index = torch.arange(2 * count, device=z.device)
        partner = index.roll(count)
        excluded = index[:, None] == index[None, :]
        if subjects is not None:
            twice = subjects.repeat(2)
            same = (twice[:, None] == twice[None, :]) & (twice >= 0)[:, None]
            excluded = excluded | (same & (partner[:, None] != index[None, :]))
        return F.cross_entropy(similarity.masked_fill(excluded, -torch.inf), partner)

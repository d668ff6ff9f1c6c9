"""What a set of posteriors says about the latent space."""

from torch import Tensor

ACTIVE_VARIANCE = 0.01


def active_units(means: Tensor) -> int:
    """Dimensions whose posterior mean varies over images by more than 0.01 (Burda et al. 2016, arXiv:1509.00519).

    Args:
        means: posterior means (N, latent_dim), N at least 2; the variance divides by N - 1.
    """
    return int((means.double().var(0) > ACTIVE_VARIANCE).sum())

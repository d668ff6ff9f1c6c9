"""What a set of posteriors says about the latent space."""

from torch import Tensor

ACTIVE_VARIANCE = 0.01


def active_units(variances: Tensor) -> int:
    """Dimensions whose posterior mean varies over images by more than 0.01 (Burda et al. 2016, arXiv:1509.00519).

    Args:
        variances: of the posterior means over images, (latent_dim,).
    """
    return int((variances > ACTIVE_VARIANCE).sum())

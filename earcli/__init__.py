"""Learns the anatomy of the human ear from unlabeled pictures and hands it to other models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earcli.models.detector import EarDetector
    from earcli.models.vae import EarVAE

__version__ = "0.1.0"
__all__ = ["EarDetector", "EarVAE", "__version__"]


def __getattr__(name: str) -> Any:
    # torch takes two seconds to import: `ear --help` must not pay for it
    if name == "EarVAE":
        from earcli.models.vae import EarVAE

        return EarVAE
    if name == "EarDetector":
        from earcli.models.detector import EarDetector

        return EarDetector
    raise AttributeError(f"module 'earcli' has no attribute {name!r}")

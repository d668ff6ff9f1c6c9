"""The proof that an exported file computes what its checkpoint computes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from earcli.errors import ExportError
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats, Runner
from earcli.exporting.torch_export import module_runner
from earcli.metrics.image import psnr, to_unit
from earcli.models.decoder import EarDecoder

BATCHES = (1, 2, 5)


class Tolerance(NamedTuple):
    """What is asked of every output: relative error at most, cosine at least; of reconstructions: PSNR in dB."""

    relative: float
    cosine: float
    psnr: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 0.999999, 80.0),
    "fp16": Tolerance(2e-2, 0.9999, 45.0),
    "int8": Tolerance(0.2, 0.98, 30.0),
}


class Closeness(NamedTuple):
    """How close an output a comes to the reference b.

    Attributes:
        max_abs: max|a − b|.
        relative: max|a − b| / max|b|.
        cosine: between a and b, flattened, of the worst image.
    """

    max_abs: float
    relative: float
    cosine: float


@dataclass(frozen=True)
class Parity:
    """Figures over all images at batches 1, 2 and 5.

    Attributes:
        outputs: by name.
        psnr: between the reconstruction from a and that from b, of the worst image, in dB; infinite where they are the
            same; None where a part decodes nothing.
        images: how many different inputs were compared.
    """

    outputs: dict[str, Closeness]
    psnr: float | None
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: the same reconstructions give null."""
        level = None if self.psnr is None or math.isinf(self.psnr) else self.psnr
        outputs = {name: value._asdict() for name, value in self.outputs.items()}
        return {"outputs": outputs, "psnr_db": level, "images": self.images, "batches": list(BATCHES)}


def measure_parity(part: Part, runner: Runner, inputs: Floats, decoder: EarDecoder | None) -> Parity:
    """Runs a part and its export beside each other.

    Args:
        inputs: of the part, first axis N, a multiple of 10, so that every batch size sees all.
        decoder: turns latent vectors into the images whose PSNR is taken; None where there are none.
    """
    reference = module_runner(part.module)
    pairs: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in part.outputs}
    for size in BATCHES:
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            a, b = runner(batch), reference(batch)
            for name in part.outputs:
                pairs[name].append((a[name], b[name]))
    joined = {name: (np.concatenate([a for a, _ in p]), np.concatenate([b for _, b in p])) for name, p in pairs.items()}
    return Parity(
        {name: closeness(a, b) for name, (a, b) in joined.items()}, _reconstruction_psnr(joined, decoder), len(inputs)
    )


def closeness(a: Floats, b: Floats) -> Closeness:
    """Compares an output with its reference, both (N, ...)."""
    # in fp64: the norm of a large feature map in fp32 is off by more than what is asked
    a, b = a.reshape(len(a), -1).astype(np.float64), b.reshape(len(b), -1).astype(np.float64)
    error = float(np.abs(a - b).max())
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(1) / np.maximum(norms, np.finfo(np.float64).tiny)
    return Closeness(error, error / max(float(np.abs(b).max()), np.finfo(np.float64).tiny), float(cosine.min()))


def _reconstruction_psnr(joined: Mapping[str, tuple[Floats, Floats]], decoder: EarDecoder | None) -> float | None:
    with torch.inference_mode():
        if "reconstruction" in joined:
            a, b = (torch.from_numpy(value) for value in joined["reconstruction"])
        elif "mu" in joined and decoder is not None:
            a, b = (decoder(torch.from_numpy(value)) for value in joined["mu"])
        else:
            return None
        return float(psnr(to_unit(a), to_unit(b)).min())


def check_parity(parity: Parity, tolerance: Tolerance, what: str) -> None:
    """Refuses an export that is too far off.

    Raises:
        ExportError: a figure is out of its tolerance, or not a number.
    """
    found = []
    for name, value in parity.outputs.items():
        # "not within" instead of "beyond": NaN is neither
        if not value.relative <= tolerance.relative:
            found.append(
                f"{name} has a relative error of {value.relative:.1e}, at most {tolerance.relative:.0e} wanted"
            )
        if not value.cosine >= tolerance.cosine:
            found.append(f"{name} has a cosine of {value.cosine:.6f}, at least {tolerance.cosine:g} wanted")
    if parity.psnr is not None and not parity.psnr >= tolerance.psnr:
        found.append(f"reconstructions agree to {parity.psnr:.1f} dB, at least {tolerance.psnr:g} wanted")
    if found:
        raise ExportError(f"{what} does not compute what the checkpoint computes, and was not kept: {found[0]}.")

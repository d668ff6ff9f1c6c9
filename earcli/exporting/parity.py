"""The comparison of an exported file with its checkpoint."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from earcli.errors import ExportError
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats, Runner
from earcli.exporting.torch_export import module_runner
from earcli.metrics.image import psnr, to_unit

BATCH_SIZES = (1, 2, 5)
Decode = Callable[[torch.Tensor], torch.Tensor]
"""From codes (B, code_dim) to images (B, 3, S, S) in [-1, 1]."""


class Tolerance(NamedTuple):
    """Limits for every output: the largest relative error, the smallest cosine; for reconstructions PSNR in dB."""

    relative: float
    cosine: float
    psnr: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 0.999999, 80.0),
    "fp16": Tolerance(2e-2, 0.9999, 45.0),
    "int8": Tolerance(0.2, 0.98, 30.0),
}


class OutputError(NamedTuple):
    """The difference between an output a and its reference b.

    Attributes:
        max_abs: max|a − b|.
        relative: max|a − b| / max|b|.
        cosine: Cosine similarity of a and b, flattened, of the worst image.
    """

    max_abs: float
    relative: float
    cosine: float


@dataclass(frozen=True)
class Parity:
    """The differences between an export and its checkpoint over all images at batch sizes 1, 2 and 5.

    Attributes:
        outputs: By name of the output.
        psnr: Between the reconstructions of both, of the worst image, in dB; infinite if they are identical, None if
            there is nothing to decode.
        images: Number of different inputs.
    """

    outputs: dict[str, OutputError]
    psnr: float | None
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; it has no infinity, so an infinite PSNR is None."""
        psnr_db = None if self.psnr is None or math.isinf(self.psnr) else self.psnr
        outputs = {name: error._asdict() for name, error in self.outputs.items()}
        return {"outputs": outputs, "psnr_db": psnr_db, "images": self.images, "batches": list(BATCH_SIZES)}


def measure_parity(part: Part, runner: Runner, inputs: Floats, decode: Decode | None = None) -> Parity:
    """Compares an export with the part that it was made from.

    Args:
        part: The reference.
        runner: The export.
        inputs: Inputs of the part (N, ...); N is a multiple of 10, so that every batch size covers all of them.
        decode: Decodes posterior means to the images whose PSNR is measured; None to measure none.
    """
    reference = module_runner(part.module)
    outputs: dict[str, list[Floats]] = {name: [] for name in part.outputs}
    references: dict[str, list[Floats]] = {name: [] for name in part.outputs}
    for size in BATCH_SIZES:
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            output, expected = runner(batch), reference(batch)
            for name in part.outputs:
                outputs[name].append(output[name])
                references[name].append(expected[name])
    pairs = {name: (np.concatenate(outputs[name]), np.concatenate(references[name])) for name in part.outputs}
    errors = {name: compare_outputs(a, b) for name, (a, b) in pairs.items()}
    return Parity(errors, _reconstruction_psnr(pairs, decode), len(inputs))


def compare_outputs(a: Floats, b: Floats) -> OutputError:
    """Compares an output a (N, ...) with its reference b (N, ...).

    >>> compare_outputs(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)).relative
    0.0
    """
    # in fp64: in fp32 the norm of a large feature map is less accurate than the tolerance
    a, b = a.reshape(len(a), -1).astype(np.float64), b.reshape(len(b), -1).astype(np.float64)
    tiny = np.finfo(np.float64).tiny
    max_abs = float(np.abs(a - b).max())
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = np.where((a == b).all(1), 1, (a * b).sum(1) / np.maximum(norms, tiny))  # equal zeros have no direction
    return OutputError(max_abs, max_abs / max(float(np.abs(b).max()), tiny), float(cosine.min()))


def _reconstruction_psnr(pairs: Mapping[str, tuple[Floats, Floats]], decode: Decode | None) -> float | None:
    with torch.inference_mode():
        if "reconstruction" in pairs:
            a, b = (torch.from_numpy(value) for value in pairs["reconstruction"])
        elif "mu" in pairs and decode is not None:
            a, b = (decode(torch.from_numpy(value)) for value in pairs["mu"])
        else:
            return None
        return float(psnr(to_unit(a), to_unit(b)).min())


def check_parity(parity: Parity, tolerance: Tolerance, name: str) -> None:
    """Raises `ExportError` if a figure exceeds its tolerance or is NaN; `name` is the export's, for the message."""
    failures = []
    for output, error in parity.outputs.items():
        # `not <=` rather than `>`: NaN must fail
        if not error.relative <= tolerance.relative:
            failures.append(
                f"{output} has a relative error of {error.relative:.1e}, expected at most {tolerance.relative:.0e}"
            )
        if not error.cosine >= tolerance.cosine:
            failures.append(f"{output} has a cosine of {error.cosine:.6f}, expected at least {tolerance.cosine:g}")
    if parity.psnr is not None and not parity.psnr >= tolerance.psnr:
        failures.append(f"reconstructions agree to {parity.psnr:.1f} dB, expected at least {tolerance.psnr:g} dB")
    if failures:
        raise ExportError(f"{name} does not compute the same as the checkpoint and was not kept: {failures[0]}.")

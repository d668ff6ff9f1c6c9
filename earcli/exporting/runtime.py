"""Running an exported ONNX file: onnxruntime and numpy, no torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from earcli.errors import CheckpointError
from earcli.exporting.metadata import Facts
from earcli.untrusted.files import LARGE, check_regular_file

Floats = NDArray[np.float32]
Runner = Callable[[Floats], dict[str, Floats]]
"""Takes images (B, 3, S, S) in [-1, 1], or z (B, latent_dim); returns arrays by name, first axis B."""


def to_images(pixels: NDArray[np.uint8]) -> Floats:
    """Crops (B, S, S, 3) as images (B, 3, S, S) in [-1, 1]."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - 1


class OnnxModel:
    """An ONNX file that `ear export` wrote, on the CPU. Call it as a `Runner`.

    Args:
        path: the file.
        threads: that one operator may use; None for as many as there are cores.

    Attributes:
        facts: what the file says about itself.

    Raises:
        CheckpointError: the file is missing, damaged, or another program's; when called, it computes something else.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 4  # it tells of fusions that it could not make; errors it raises as well
        try:
            check_regular_file(path, LARGE)
            # its fallback, to the same provider, would print what went wrong
            self.session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            notes = self.session.get_modelmeta().custom_metadata_map
            inputs = [item.name for item in self.session.get_inputs()]
            outputs = [item.name for item in self.session.get_outputs()]
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} does not exist. Make it: ear export --format onnx.") from error
        except Exception as error:  # its errors share no base but this one
            raise CheckpointError(f"{path} is damaged or no ONNX file. Export it anew: ear export.") from error
        self.facts = Facts.from_text(notes, path)
        if len(inputs) != 1:
            raise CheckpointError(f"{path} takes {len(inputs)} inputs, which no file of ear export does.")
        self.path, self.input, self.outputs = path, inputs[0], outputs

    def __call__(self, batch: Floats) -> dict[str, Floats]:
        try:
            return dict(zip(self.outputs, self.session.run(None, {self.input: batch}), strict=True))
        except Exception as error:  # shapes, or memory
            raise CheckpointError(f"{self.path} does not compute what ear exports. Export it anew.") from error

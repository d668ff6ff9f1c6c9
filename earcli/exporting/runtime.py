"""Run an exported ONNX file with onnxruntime and numpy, without torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from earcli.errors import CheckpointError
from earcli.exporting.metadata import ExportMetadata
from earcli.untrusted.files import LARGE, check_regular_file

Floats = NDArray[np.float32]
Runner = Callable[[Floats], dict[str, Floats]]
"""Takes images (B, 3, S, S) in [-1, 1] or latent vectors (B, latent_dim); returns outputs (B, ...) by name."""


def to_images(pixels: NDArray[np.uint8]) -> Floats:
    """Converts crops (B, S, S, 3) in [0, 255] to images (B, 3, S, S) in [-1, 1].

    >>> to_images(np.full((1, 1, 1, 3), 255, np.uint8)).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - 1


class OnnxModel:
    """An ONNX file that `ear export` wrote, on the CPU. Calling it is a `Runner`.

    Args:
        path: The file.
        threads: Threads of one operator; None for the number of cores.

    Attributes:
        input: The name of the input, `images` or `z`.
        outputs: The names of the outputs.
        metadata: The metadata in the file.

    Raises:
        CheckpointError: The file is missing, damaged or from another program; on a call, that it cannot be run.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 4  # it warns about fusions that it skips; errors are raised as well
        try:
            check_regular_file(path, LARGE)
            # the fallback, to the same provider, would print the error
            self.session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            texts = self.session.get_modelmeta().custom_metadata_map
            inputs = [item.name for item in self.session.get_inputs()]
            outputs = [item.name for item in self.session.get_outputs()]
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} does not exist. Create it with ear export.") from error
        except Exception as error:  # onnxruntime's errors have no other common base
            raise CheckpointError(f"{path} is damaged or not an ONNX file. Export it again with ear export.") from error
        self.metadata = ExportMetadata.from_text(texts, path)
        if len(inputs) != 1:
            raise CheckpointError(f"{path} has {len(inputs)} inputs, expected 1. It was not exported by ear.")
        self.path, self.input, self.outputs = path, inputs[0], outputs

    def __call__(self, batch: Floats) -> dict[str, Floats]:
        try:
            return dict(zip(self.outputs, self.session.run(None, {self.input: batch}), strict=True))
        except Exception as error:  # wrong shapes, or out of memory
            raise CheckpointError(
                f"{self.path} cannot be run on its input. Export it again with ear export."
            ) from error

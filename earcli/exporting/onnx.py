"""Writing ONNX files: fp32, fp16, int8."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from earcli.errors import ExportError
from earcli.exporting.metadata import Facts
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats

ONE_FILE_BYTES = 2**31 - 2**24  # protobuf's limit of 2 GB, less what the graph itself takes
CALIBRATION_BATCH = 8
QUANTIZED = ("Conv", "Relu", "Add", "MaxPool")  # a chain of these needs no way back to fp32 in between
FEW_CHANNELS = 3


def write_onnx(part: Part, path: Path, facts: Facts, opset: int, calibration: Floats) -> None:
    """Writes a part as ONNX with a dynamic batch; `facts.precision` is fp32, fp16 or int8.

    Weights are inside the file, or beside it in `NAME.data` where they exceed 2 GB.

    Args:
        calibration: inputs of the part that int8 learns its ranges from, first axis N; other precisions ignore it.

    Raises:
        ExportError: the exporter cannot write this opset, or fp16 or int8 of more than 2 GB.
    """
    large = sum(value.nbytes for value in part.module.state_dict().values()) > ONE_FILE_BYTES
    if large and facts.precision != "fp32":
        raise ExportError(f"The {part.name} exceeds 2 GB, too much for {facts.precision}. Give --precision fp32.")
    with _quiet():
        program = torch.onnx.export(
            part.module,
            (part.example,),
            dynamo=True,
            opset_version=opset,
            input_names=[part.input],
            output_names=list(part.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program is not None
        written = program.model.opset_imports[""]
        if written != opset:
            raise ExportError(f"The exporter made opset {written}, not {opset}. Give --opset {written}.")
        program.model.metadata_props.update(facts.to_text())
        program.save(path, external_data=large)
        if facts.precision == "fp16":
            half = ONNXModel(convert_float_to_float16(onnx.load(path), keep_io_types=True))
            half.topological_sort()  # the converter puts its casts at the end
            del half.model.graph.value_info[:]  # it says fp32 of what is fp16 now
            onnx.save(half.model, path)
        elif facts.precision == "int8":
            _quantize(path, part.input, calibration)
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"{path.name} is not valid ONNX, and was not kept: {reason}") from error


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, inputs: Floats) -> None:
        starts = range(0, len(inputs), CALIBRATION_BATCH)
        self.feeds: Iterator[dict[str, Any]] = iter([{name: inputs[i : i + CALIBRATION_BATCH]} for i in starts])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.feeds, None)


def _quantize(path: Path, name: str, calibration: Floats) -> None:
    """Replaces fp32 by static int8: unsigned activations, signed weights per channel, ranges from minimum and maximum.

    What was tried beside it is in `docs/benchmarks.md`.
    """
    with TemporaryDirectory(dir=path.parent) as folder:
        prepared = Path(folder) / "prepared.onnx"
        # shapes are all known but for the batch, which the symbolic inference cannot follow through a maximum
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        outputs_of = {value.name: value.dims[0] for value in graph.initializer if value.dims}
        # attention maps and the image itself: few operations, and everything hangs on them
        fine = [n.name for n in graph.node if n.op_type == "Conv" and outputs_of[n.input[1]] <= FEW_CHANNELS]
        quantize_static(
            prepared,
            path,
            _Batches(name, calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=fine,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporter and the quantizer tell of themselves; what they make is proved afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)

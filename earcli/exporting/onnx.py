"""Write ONNX files in fp32, fp16 and int8."""

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
from earcli.exporting.metadata import ExportMetadata
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats

ONE_FILE_BYTES = 2**31 - 2**24  # protobuf's limit of 2 GB, minus a margin for the graph
CALIBRATION_BATCH_SIZE = 8
QUANTIZED_OPERATORS = ("Conv", "Relu", "Add", "MaxPool")  # a chain of these is never dequantized in between
FEW_CHANNELS = 3


def write_onnx(
    part: Part, path: Path, metadata: ExportMetadata, *, opset: int, calibration_inputs: Floats | None = None
) -> None:
    """Writes a part as ONNX with a dynamic batch size, in the precision of its metadata: fp32, fp16 or int8.

    Weights that exceed 2 GB are stored next to the file in `NAME.data`.

    Args:
        part: The part.
        path: The file.
        metadata: Stored in the file.
        opset: Version of the operator set.
        calibration_inputs: Inputs of the part (N, ...), from which int8 takes the ranges of activations.

    Raises:
        ExportError: The exporter does not support the opset, or fp16 or int8 would exceed 2 GB.
    """
    large = sum(value.nbytes for value in part.module.state_dict().values()) > ONE_FILE_BYTES
    if large and metadata.precision != "fp32":
        raise ExportError(f"The {part.name} exceeds 2 GB, the limit for {metadata.precision}. Export it in fp32.")
    with _silent():
        _write_fp32(part, path, metadata, opset, external_data=large)
        if metadata.precision == "fp16":
            _convert_to_fp16(path)
        elif metadata.precision == "int8":
            assert calibration_inputs is not None
            _quantize(path, part.input, calibration_inputs)
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"{path.name} is not valid ONNX and was not kept: {reason}") from error


def _write_fp32(part: Part, path: Path, metadata: ExportMetadata, opset: int, *, external_data: bool) -> None:
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
        raise ExportError(f"The exporter does not support `opset` {opset}. Use {written}.")
    program.model.metadata_props.update(metadata.to_text())
    program.save(path, external_data=external_data)


def _convert_to_fp16(path: Path) -> None:
    """Replaces fp32 by fp16, except for the input and the outputs."""
    half = ONNXModel(convert_float_to_float16(onnx.load(path), keep_io_types=True))
    half.topological_sort()  # the converter appends its casts
    del half.model.graph.value_info[:]  # it still says fp32
    onnx.save(half.model, path)


class _CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, inputs: Floats) -> None:
        size = CALIBRATION_BATCH_SIZE
        self.feeds: Iterator[dict[str, Any]] = iter([{name: inputs[i : i + size]} for i in range(0, len(inputs), size)])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.feeds, None)


def _quantize(path: Path, name: str, calibration_inputs: Floats) -> None:
    """Replaces fp32 by static int8: unsigned activations, signed weights per channel, min-max calibration.

    `docs/benchmarks.md` compares the alternatives.
    """
    with TemporaryDirectory(dir=path.parent) as folder:
        prepared = Path(folder) / "prepared.onnx"
        # all shapes but the batch size are static, and symbolic inference fails on the dynamic one
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        channels = {value.name: value.dims[0] for value in graph.initializer if value.dims}
        # attention maps and the output image: few operations, to which the result is sensitive
        excluded = [n.name for n in graph.node if n.op_type == "Conv" and channels[n.input[1]] <= FEW_CHANNELS]
        quantize_static(
            prepared,
            path,
            _CalibrationBatches(name, calibration_inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED_OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Silences the warnings of the exporter and the quantizer: the result is verified afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)

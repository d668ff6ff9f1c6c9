"""Export a part of a model to a file that is verified to compute the same."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from earcli.errors import ExportError
from earcli.exporting.metadata import ExportMetadata
from earcli.exporting.onnx import write_onnx
from earcli.exporting.parity import TOLERANCES, Decode, Parity, check_parity, measure_parity
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats, OnnxModel, Runner
from earcli.exporting.safetensors_folder import FILE_NAMES, open_folder, write_folder
from earcli.exporting.torch_export import open_archive, write_archive
from earcli.files import atomic_folder, atomic_write
from earcli.untrusted.files import read_bounded

Format = Literal["onnx", "pt2", "safetensors"]


def export_part(
    part: Part,
    metadata: ExportMetadata,
    output: Path,
    *,
    format: Format = "onnx",
    opset: int = 20,
    parity_inputs: Floats,
    calibration_inputs: Floats | None = None,
    decode: Decode | None = None,
) -> Parity:
    """Writes a part, compares it with the model on real inputs, and moves it to its path only if they agree.

    Args:
        part: The part.
        metadata: Stored in the export; its precision is the export's.
        output: The file, or for safetensors the folder.
        format: The format.
        opset: Of an ONNX file.
        parity_inputs: Inputs of the part to compare on (N, ...), N a multiple of 10.
        calibration_inputs: Inputs of the part that int8 is calibrated on (M, ...).
        decode: The teacher's, to measure the PSNR between reconstructions; None for a detector.

    Raises:
        ExportError: The export computes something else than the model, or cannot be made; nothing is left behind.
        RunError: `output` cannot be written, or is a folder with other files in it.
    """
    if format != "safetensors" and output.is_dir():
        raise ExportError(f"{output} is a folder, expected a file.")
    with atomic_folder(output, FILE_NAMES) if format == "safetensors" else atomic_write(output) as path:
        runner: Runner
        if format == "onnx":
            write_onnx(part, path, metadata, opset=opset, calibration_inputs=calibration_inputs)
            runner = OnnxModel(path)
        elif format == "pt2":
            write_archive(part, path, metadata)
            runner = open_archive(path)
        else:
            write_folder(part, path, metadata)
            runner = open_folder(part, path)
        parity = measure_parity(part, runner, parity_inputs, decode)
        check_parity(parity, TOLERANCES[metadata.precision], output.name)
    return parity


def count_bytes(path: Path) -> int:
    """The size of an export: a file with its `NAME.data`, or a folder."""
    files = path.rglob("*") if path.is_dir() else [path, path.with_name(path.name + ".data")]
    return sum(file.stat().st_size for file in files if file.is_file())


def record_parity(
    path: Path, output: Path, *, format: Format, metadata: ExportMetadata, parity: Parity
) -> dict[str, Any]:
    """Adds the figures of an export to `parity.json`, by file name, and returns them.

    Args:
        path: The `parity.json`; created if it does not exist.
        output: The export.
        format: Its format.
        metadata: Its metadata.
        parity: Its differences from the model.

    Raises:
        RunError: The file cannot be written.
    """
    record = {
        **asdict(metadata),
        "format": format,
        "bytes": count_bytes(output),
        **parity.to_dict(),
        "tolerance": TOLERANCES[metadata.precision]._asdict(),
    }
    try:
        records = json.loads(read_bounded(path))
    except (OSError, ValueError, RecursionError):
        records = {}
    name = output.name if output.parent.resolve() == path.parent.resolve() else str(output.absolute())
    with atomic_write(path) as temporary:
        content = {**(records if isinstance(records, dict) else {}), name: record}
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return record

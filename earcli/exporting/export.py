"""From a part of a teacher to a file that is proved to compute the same."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from earcli.errors import ExportError
from earcli.exporting.metadata import Facts
from earcli.exporting.onnx import write_onnx
from earcli.exporting.parity import TOLERANCES, Parity, check_parity, measure_parity
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats, OnnxModel, Runner
from earcli.exporting.safetensors_folder import FILE_NAMES, open_folder, write_folder
from earcli.exporting.torch_export import open_archive, write_archive
from earcli.files import atomic_folder, atomic_write
from earcli.models.decoder import EarDecoder
from earcli.untrusted.files import read_bounded

Format = Literal["onnx", "pt2", "safetensors"]
Precision = Literal["fp32", "fp16", "int8"]
PARITY_NAME = "parity.json"
PARITY_INPUTS = 20
CALIBRATION_INPUTS = 128


def export_part(
    part: Part,
    facts: Facts,
    form: Format,
    opset: int,
    target: Path,
    inputs: tuple[Floats, Floats],
    decoder: EarDecoder | None,
) -> Parity:
    """Writes a part, proves what was written on real inputs, and only then puts it in its place.

    Args:
        inputs: those to prove it on (20, ...), and those that int8 learns its ranges from (N, ...).
        decoder: the teacher's, for the PSNR between reconstructions; None for a detector.

    Raises:
        ExportError: it does not compute what the checkpoint computes, or cannot be made; nothing is left behind.
        RunError: `target` cannot be written, or is a folder with other files in it.
    """
    if form != "safetensors" and target.is_dir():
        raise ExportError(f"{target} is a folder. Give --output a file name.")
    proved, calibration = inputs
    with atomic_folder(target, FILE_NAMES) if form == "safetensors" else atomic_write(target) as path:
        runner: Runner
        if form == "onnx":
            write_onnx(part, path, facts, opset, calibration)
            runner = OnnxModel(path)
        elif form == "pt2":
            write_archive(part, path, facts)
            runner = open_archive(path)
        else:
            write_folder(part, path, facts)
            runner = open_folder(part, path)
        parity = measure_parity(part, runner, proved, decoder)
        check_parity(parity, TOLERANCES[facts.precision], target.name)
    return parity


def bytes_of(path: Path) -> int:
    """The size of an export: a file with its `NAME.data`, or a folder."""
    files = path.rglob("*") if path.is_dir() else [path, path.with_name(path.name + ".data")]
    return sum(file.stat().st_size for file in files if file.is_file())


def note_parity(path: Path, target: Path, form: Format, facts: Facts, parity: Parity) -> dict[str, Any]:
    """Adds the figures of an export to a `parity.json`, by file name, and returns them.

    Raises:
        RunError: it cannot be written.
    """
    record = {
        **asdict(facts),
        "format": form,
        "bytes": bytes_of(target),
        **parity.to_dict(),
        "tolerance": TOLERANCES[facts.precision]._asdict(),
    }
    try:
        records = json.loads(read_bounded(path))
    except (OSError, ValueError, RecursionError):
        records = {}
    name = target.name if target.parent.resolve() == path.parent.resolve() else str(target.absolute())
    with atomic_write(path) as temporary:
        content = {**(records if isinstance(records, dict) else {}), name: record}
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return record

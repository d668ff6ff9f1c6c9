"""Exporting a trained model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from earcli.config.fields import at_least, one_of, require
from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint

PARTS = ("encoder", "decoder", "vae", "features", "detector")
PRECISIONS = ("fp32", "fp16", "int8")
SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "safetensors": ""}
FIGURES = ("part", "precision", "format", "bytes", "fingerprint", "outputs", "psnr_db")


@dataclass(frozen=True)
class ExportResult:
    """An exported model and its differences from the checkpoint.

    Attributes:
        path: The file, or for safetensors the folder.
        part, precision, format: As requested.
        bytes: Its size.
        fingerprint: Of the weights; the same for the checkpoint and all its exports.
        outputs: For each output `max_abs`, `relative` (the largest relative error) and `cosine` (the smallest).
        psnr_db: Between the reconstructions of both, of the worst image; None if identical, or nothing is decoded.
        record: Everything that `parity.json` stores about the export.
    """

    path: Path
    part: str
    precision: str
    format: str
    bytes: int
    fingerprint: str
    outputs: dict[str, dict[str, float]]
    psnr_db: float | None
    record: dict[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {"path": str(self.path), **self.record}


def export(
    checkpoint: str | Path = "best",
    *,
    format: Literal["onnx", "pt2", "safetensors"] = "onnx",
    part: Literal["encoder", "decoder", "vae", "features", "detector"] = "encoder",
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    opset: int = 20,
    output: str | Path | None = None,
    manifest: str | Path | None = None,
    root_dir: str | Path | None = None,
    run_dir: str | Path = "runs",
    num_workers: int = 4,
    reporter: Reporter = SILENT,
) -> ExportResult:
    """Export a teacher or detector to ONNX, torch.export or safetensors, verified on real crops.

    Args:
        checkpoint: A teacher or detector: a file, a run's folder, or last.ckpt or best of the newest run.
        format: onnx, pt2 (a torch.export archive), or a safetensors folder.
        part: The part of a teacher to export, or a whole detector.
        precision: Precision of an ONNX file; int8 is calibrated on crops of the training set.
        opset: Operator set version of an ONNX file.
        output: File, or folder for safetensors. By default in export/ of the run folder.
        manifest: Crops to verify and calibrate on. By default the run's validation and training set.
        root_dir: Folder that relative paths start from. By default the run's, or the manifest's.
        run_dir: Folder of all runs.
        num_workers: Threads that decode pictures.
        reporter: Receives the checkpoint's path and progress.

    Raises:
        ConfigError: A value is invalid, or two contradict each other.
        CheckpointError: The checkpoint is missing, damaged or of the other kind.
        ManifestError: The manifest is missing or malformed.
        DataError: No picture can be used.
        ExportError: The export does not compute the same as the checkpoint; it is not kept.
        RunError: The output cannot be written.

    Example:
        >>> result = earcli.export("best", precision="int8")  # doctest: +SKIP
        >>> result.outputs["mu"]["cosine"]  # doctest: +SKIP
        0.998
    """
    require(at_least(18), opset=opset)
    require(at_least(1), num_workers=num_workers)
    _check_choices(format, part, precision)
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.exporting.export import export_part, record_parity
    from earcli.exporting.metadata import ExportMetadata
    from earcli.tasks.export_inputs import prepare_export

    source = Checkpoint.open(checkpoint, "detector" if part == "detector" else "teacher", run_dir=run_dir)
    reporter.note(f"checkpoint {source.path}")
    path = _output_path(source, output, part, precision, format)
    reporter.progress("exporting and comparing", 0, 1)
    calibrate = precision == "int8"
    inputs = prepare_export(
        source, part, calibrate=calibrate, manifest=manifest, root_dir=root_dir, num_workers=num_workers
    )
    metadata = ExportMetadata.of(source, part, precision)
    parity = export_part(
        inputs.part,
        metadata,
        path,
        format=format,
        opset=opset,
        parity_inputs=inputs.parity,
        calibration_inputs=inputs.calibration,
        decode=inputs.decode,
    )
    record = record_parity(_parity_path(source, path), path, format=format, metadata=metadata, parity=parity)
    return ExportResult(path=path, record=record, **{name: record[name] for name in FIGURES})


def _check_choices(format: str, part: str, precision: str) -> None:
    require(one_of(*SUFFIXES), format=format)
    require(one_of(*PARTS), part=part)
    require(one_of(*PRECISIONS), precision=precision)
    if format != "onnx" and precision != "fp32":
        raise ConfigError(f"`precision` must be fp32 if `format` is {format}, got {precision}.")
    if part == "detector" and (format == "safetensors" or precision == "int8"):
        raise ConfigError("A detector's `format` must be onnx or pt2, and its `precision` fp32 or fp16.")


def _output_path(source: "Checkpoint", output: str | Path | None, part: str, precision: str, format: str) -> Path:
    if output is not None:
        return Path(output)
    name = part if precision == "fp32" else f"{part}-{precision}"
    return source.results_folder(None, "export") / f"{name}{SUFFIXES[format]}"


def _parity_path(source: "Checkpoint", output: Path) -> Path:
    """`export/parity.json` of the checkpoint's run; next to the output if there is no run, or it is read-only."""
    import os

    run = source.run
    folder = output.parent if run is None or not os.access(run.path, os.W_OK) else run.path / "export"
    return folder / "parity.json"

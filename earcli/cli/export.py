"""`ear export`: a file that runs without `ear`, proved to compute the same."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from earcli.cli import options
from earcli.errors import ConfigError

if TYPE_CHECKING:
    from earcli.exporting.parts import Part
    from earcli.exporting.runtime import Floats
    from earcli.tasks.sources import Detector, Teacher, Trained

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "safetensors": ""}


def export(
    checkpoint: options.AnyCheckpoint = "best",
    form: Annotated[
        Literal["onnx", "pt2", "safetensors"],
        typer.Option("--format", help="onnx, pt2 (torch.export), or a safetensors folder."),
    ] = "onnx",
    part: Annotated[
        Literal["encoder", "decoder", "vae", "features", "detector"],
        typer.Option("--part", help="What of the teacher to write, or the whole of a detector."),
    ] = "encoder",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option("--precision", help="Of an ONNX file; int8 is calibrated on crops of the training set."),
    ] = "fp32",
    opset: Annotated[int, typer.Option("--opset", min=18, help="Opset of an ONNX file.")] = 20,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File, or folder for safetensors; by default in the run's export/."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest", help="Crops to prove and calibrate on; by default the run's validation and training set."
        ),
    ] = None,
    root_dir: options.RootDir = None,
    run_dir: options.RunDir = Path("runs"),
    num_workers: options.NumWorkers = 4,
    as_json: options.AsJson = False,
) -> None:
    """Write a teacher or detector as ONNX, a torch.export archive or safetensors, proved on real crops."""
    if form != "onnx" and precision != "fp32":
        raise ConfigError(f"--precision {precision} goes with --format onnx; {form} is written in fp32.")
    if part == "detector" and (form == "safetensors" or precision == "int8"):
        raise ConfigError("--part detector goes with --format onnx or pt2, and with --precision fp32 or fp16.")
    from rich.console import Console

    from earcli.checkpoints.weights import fingerprint
    from earcli.exporting.export import export_part, note_parity
    from earcli.exporting.metadata import Facts
    from earcli.exporting.parts import detector_part, make_part
    from earcli.reporting.tables import parity_line, parity_rows, show_rows
    from earcli.tasks.sources import Detector, load_detector, load_teacher

    console = Console(stderr=as_json)
    load = load_detector if part == "detector" else load_teacher
    source: Teacher | Detector = load(checkpoint, run_dir, "cpu")
    name = part if precision == "fp32" else f"{part}-{precision}"
    target = source.results(None, "export") / f"{name}{SUFFIXES[form]}" if output is None else output
    console.print(f"checkpoint {source.path}", soft_wrap=True, highlight=False, markup=False)
    with console.status("exporting and comparing"):
        if isinstance(source, Detector):
            chosen = detector_part(source.model, source.config.shape[0])
            inputs, decoder = detector_inputs(source, manifest, root_dir, num_workers), None
        else:
            chosen, decoder = make_part(source.model, part), source.model.decoder
            inputs = real_inputs(source, chosen, (manifest, root_dir), precision == "int8", num_workers)
        facts = Facts.of(source.config, source.path, fingerprint(source.model), part, precision)
        parity = export_part(chosen, facts, form, opset, target, inputs, decoder)
    record = note_parity(parity_path(source, target), target, form, facts, parity)
    if as_json:
        typer.echo(json.dumps({"path": str(target), **record}, indent=2))
        return
    show_rows(console, parity_rows(record))
    console.print(parity_line(record), soft_wrap=True, highlight=False)
    size = record["bytes"] / 1e6
    console.print(
        f"{target}: {size:.1f} MB, weights {facts.fingerprint}", soft_wrap=True, highlight=False, markup=False
    )


def real_inputs(
    teacher: "Teacher", part: "Part", own: tuple[Path | None, Path | None], calibrated: bool, workers: int
) -> tuple["Floats", "Floats"]:
    """Inputs of a part made of real crops: to prove it on, and to calibrate it with.

    Args:
        own: --manifest and --root-dir, as far as they were given.

    Raises:
        ManifestError: the run's own manifest is not there any more.
        DataError: no picture can be used.
    """
    import numpy as np

    from earcli.data.cache import sample_crops
    from earcli.exporting.export import CALIBRATION_INPUTS, PARITY_INPUTS
    from earcli.exporting.parts import make_part
    from earcli.exporting.runtime import to_images
    from earcli.exporting.torch_export import module_runner

    size = teacher.config.image_size
    images = to_images(sample_crops(teacher.val_set(*own), size, PARITY_INPUTS, workers))
    learned = images[:0]
    if calibrated:
        learned = to_images(sample_crops(teacher.train_set(*own, "--manifest"), size, CALIBRATION_INPUTS, workers))
    if part.input == "images":
        return images, learned
    encode = module_runner(make_part(teacher.model, "encoder").module)
    means = np.concatenate([encode(batch[None])["mu"] for batch in (*images, *learned)])
    return means[: len(images)], means[len(images) :]


def detector_inputs(
    detector: "Detector", manifest: Path | None, root_dir: Path | None, workers: int
) -> tuple["Floats", "Floats"]:
    """What a detector is shown of labeled pictures, to prove it on, and nothing to calibrate it with.

    Raises:
        ManifestError, DataError: the labels cannot be used.
    """
    from dataclasses import replace

    from earcli.data.cache import sample_crops
    from earcli.data.labels import read_labels
    from earcli.data.views import expand_boxes
    from earcli.exporting.export import PARITY_INPUTS
    from earcli.exporting.runtime import to_images

    config = detector.config
    root = root_dir or (config.root_dir if manifest is None else None)
    labels = read_labels(manifest or config.val_manifest, root, config.shape[1])
    shown = replace(labels.manifest, boxes=expand_boxes(labels.manifest.boxes, config.seen_margin, labels.sizes))
    images = to_images(sample_crops(shown, config.shape[0], PARITY_INPUTS, workers))
    return images, images[:0]


def parity_path(source: "Trained", target: Path) -> Path:
    """The `parity.json` of the checkpoint's run; beside the export where that is none, or cannot be written."""
    from earcli.errors import CheckpointError
    from earcli.exporting.export import PARITY_NAME

    try:
        own = source.results(None, "export")
    except CheckpointError:
        own = target.parent
    return (own if os.access(own.parent, os.W_OK) else target.parent) / PARITY_NAME

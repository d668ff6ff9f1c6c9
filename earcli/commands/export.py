"""`ear export`: a file that runs without `ear`, proved to compute the same."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from earcli import options
from earcli.errors import ConfigError

if TYPE_CHECKING:
    from earcli.commands.source import Teacher
    from earcli.exporting.parts import Part
    from earcli.exporting.runtime import Floats

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "safetensors": ""}


def export(
    checkpoint: options.Checkpoint = "best",
    form: Annotated[
        Literal["onnx", "pt2", "safetensors"],
        typer.Option("--format", help="onnx, pt2 (torch.export), or a safetensors folder."),
    ] = "onnx",
    part: Annotated[
        Literal["encoder", "decoder", "vae", "features"], typer.Option("--part", help="What of the teacher to write.")
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
    """Write a teacher as ONNX, a torch.export archive or safetensors, proved on real crops."""
    if form != "onnx" and precision != "fp32":
        raise ConfigError(f"--precision {precision} goes with --format onnx; {form} is written in fp32.")
    from rich.console import Console

    from earcli.commands.source import load_teacher
    from earcli.exporting.export import export_part, note_parity
    from earcli.exporting.facts import Facts
    from earcli.exporting.parts import make_part
    from earcli.models.weights import fingerprint
    from earcli.reporting.tables import parity_line, parity_table

    console = Console(stderr=as_json)
    teacher = load_teacher(checkpoint, run_dir, "cpu")
    name = part if precision == "fp32" else f"{part}-{precision}"
    target = teacher.results(None, "export") / f"{name}{SUFFIXES[form]}" if output is None else output
    console.print(f"checkpoint {teacher.path}", soft_wrap=True, highlight=False, markup=False)
    with console.status("exporting and comparing"):
        chosen = make_part(teacher.model, part)
        facts = Facts.of(teacher.config, teacher.path, fingerprint(teacher.model), part, precision)
        inputs = real_inputs(teacher, chosen, (manifest, root_dir), precision == "int8", num_workers)
        parity = export_part(chosen, facts, form, opset, target, inputs, teacher.model.decoder)
    record = note_parity(parity_path(teacher, target), target, form, facts, parity)
    if as_json:
        typer.echo(json.dumps({"path": str(target), **record}, indent=2))
        return
    console.print(parity_table(record))
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
    from earcli.exporting.archive import module_runner
    from earcli.exporting.export import CALIBRATION_INPUTS, PARITY_INPUTS
    from earcli.exporting.parts import make_part
    from earcli.exporting.runtime import to_images

    size = teacher.config.image_size
    images = to_images(sample_crops(teacher.val_set(*own), size, PARITY_INPUTS, workers))
    learnt = images[:0]
    if calibrated:
        learnt = to_images(sample_crops(teacher.train_set(*own, "--manifest"), size, CALIBRATION_INPUTS, workers))
    if part.input == "images":
        return images, learnt
    encode = module_runner(make_part(teacher.model, "encoder").module)
    means = np.concatenate([encode(batch[None])["mu"] for batch in (*images, *learnt)])
    return means[: len(images)], means[len(images) :]


def parity_path(teacher: "Teacher", target: Path) -> Path:
    """The `parity.json` of the checkpoint's run; beside the export where the checkpoint lies in no run."""
    from earcli.errors import CheckpointError
    from earcli.exporting.export import PARITY_NAME

    try:
        return teacher.results(None, "export") / PARITY_NAME
    except CheckpointError:
        return target.parent / PARITY_NAME

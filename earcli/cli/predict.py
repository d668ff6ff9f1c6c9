"""`ear predict`: draw what a detector finds, and write it down."""

import json
from pathlib import Path
from typing import Annotated

import typer

from earcli.cli import options
from earcli.errors import ConfigError, RunError


def predict(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Folders, pictures, manifests.")],
    checkpoint: options.DetectorCheckpoint = "best",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path("predictions"),
    crops: Annotated[
        Path | None, typer.Option("--crops", help="New folder for the ears that were found, cut out.")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, max=1, help="Least confidence of an ear that is drawn and cut out.")
    ] = 0.5,
    root_dir: options.SourceRootDir = None,
    run_dir: options.RunDir = Path("runs"),
    batch_size: options.BatchSize = 32,
    num_workers: options.NumWorkers = 4,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Find the ear and its landmarks on pictures: drawn pictures, COCO JSON, CSV."""
    from rich.console import Console

    from earcli.analysis.prediction import predict as predict_all
    from earcli.data.inputs import collect_pictures
    from earcli.files import atomic_folder
    from earcli.reporting.console import ProgressBar, Report
    from earcli.tasks.predict import FILES, PredictionFiles
    from earcli.tasks.sources import load_detector, note_skipped

    if output.is_dir() and any(output.iterdir()) and not (output / "predictions.json").is_file():
        raise RunError(f"{output} holds files that ear predict did not put there. Give another --output.")
    if crops is not None and crops.resolve().is_relative_to(output.resolve()):
        raise ConfigError(f"--crops {crops} lies in --output {output}, which is replaced as a whole. Give another.")
    console = Console(stderr=as_json)
    manifest = collect_pictures(sources, root_dir)
    detector = load_detector(checkpoint, run_dir, device)
    config = detector.config
    with ProgressBar(console) as progress, atomic_folder(output, FILES) as folder:
        report = Report(console, progress)
        report.note(f"detector {detector.path}")
        files = PredictionFiles(folder, manifest, config.point_names, threshold)
        found = predict_all(
            detector.model, manifest, config.shape[0], config.seen_margin, batch_size, num_workers, progress
        )
        if crops is None:
            files.write(found, None)
        else:
            with atomic_folder(crops) as cut:
                files.write(found, cut)
    note_skipped(files.skipped, report, f"of {len(manifest)} pictures in all")
    if files.skipped:
        report.note(f"pictures that could not be read: {output / 'skipped.csv'}")
    report.note(f"{files.drawn} ears on {files.seen} pictures, of confidence {threshold:g} and more")
    report.note(f"results {output}: predictions.json (COCO), predictions.csv, pictures/")
    if crops is not None:
        report.note(f"ears cut out: {crops}")
    if as_json:
        typer.echo(json.dumps({"output": str(output), "pictures": files.seen, "ears": files.drawn}, indent=2))

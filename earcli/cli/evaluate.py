"""`ear evaluate`: how good a teacher is on ears that it never saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from earcli.cli import options
from earcli.config.fields import flag
from earcli.errors import ConfigError, EarError

TARGETS = "Targets"
TEACHERS_ONLY = (
    "train_manifest", "subject", "limit", "perceptual_weights", "target_psnr", "target_ssim", "target_active",
    "target_code_gain", "target_cosine", "fail_under_psnr",
)  # fmt: skip


def refuse_given(ctx: typer.Context, names: Sequence[str], why: str) -> None:
    """Raises `ConfigError` when one of some flags was given."""
    wrong = [flag(name) for name in names if options.given(ctx, name)]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)} cannot be used: {why}. Leave it out, or give another --checkpoint.")


def evaluate(
    ctx: typer.Context,
    checkpoint: options.AnyCheckpoint = "best",
    manifest: options.ReadManifest = None,
    train_manifest: options.TrainManifest = None,
    root_dir: options.RootDir = None,
    subject: options.Subject = "column",
    limit: options.Limit = None,
    output: options.Output = None,
    perceptual_weights: Annotated[
        str | None,
        typer.Option(
            "--perceptual-weights",
            help="Weights of VGG16 for the feature distance: imagenet, none, or a file. By default where "
            "they are at hand, without download.",
        ),
    ] = None,
    target_psnr: Annotated[
        float, typer.Option("--target-psnr", help="Least PSNR in dB.", rich_help_panel=TARGETS)
    ] = 28.0,
    target_ssim: Annotated[float, typer.Option("--target-ssim", help="Least SSIM.", rich_help_panel=TARGETS)] = 0.85,
    target_active: Annotated[
        float, typer.Option("--target-active", help="Least share of active units.", rich_help_panel=TARGETS)
    ] = 0.5,
    target_code_gain: Annotated[
        float,
        typer.Option(
            "--target-code-gain", help="Least gain of an ear's own code over another's, dB.", rich_help_panel=TARGETS
        ),
    ] = 6.0,
    target_cosine: Annotated[
        float, typer.Option("--target-cosine", help="Largest mean |cosine| between ears.", rich_help_panel=TARGETS)
    ] = 0.3,
    fail_under_psnr: Annotated[
        float | None, typer.Option("--fail-under-psnr", help="Exit with 1 when PSNR is less, for scripts.")
    ] = None,
    normalize: Annotated[
        str,
        typer.Option(
            "--normalize",
            help="What landmark errors are shares of: box (its diagonal), crop (the side of what a detector is shown), "
            "or the distance of two points such as 1,2.",
        ),
    ] = "box",
    batch_size: options.BatchSize = 64,
    num_workers: options.NumWorkers = 4,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    run_dir: options.RunDir = Path("runs"),
    json: options.AsJson = False,
) -> None:
    """Measure a teacher on ears that it never saw, or a detector on labels, beside baselines."""
    from earcli.checkpoints.opening import open_checkpoint
    from earcli.checkpoints.weights import kind_of

    path, content = open_checkpoint(checkpoint, run_dir, None)
    if kind_of(content["hyper_parameters"]) == "detector":
        from earcli.tasks.evaluate_detector import Request, evaluate_detector

        refuse_given(ctx, TEACHERS_ONLY, f"{path} is a detector")
        places = manifest, root_dir, output
        evaluate_detector(path, Request(*places, normalize, batch_size, num_workers, device, seed, run_dir, json))
        return
    refuse_given(ctx, ("normalize",), f"{path} is a teacher")
    from rich.console import Console

    from earcli.analysis.evaluation import Evaluator
    from earcli.analysis.verdict import Targets, verdict_lines
    from earcli.files import atomic_folder
    from earcli.reporting.console import ProgressBar, Report, show_parts
    from earcli.tasks.evaluation_files import FILES, HEADER, write_evaluation
    from earcli.tasks.sources import load_teacher, perceptual_distance

    targets = Targets(target_psnr, target_ssim, target_active, target_code_gain, target_cosine)
    console = Console(stderr=json)
    with ProgressBar(console) as progress:
        report = Report(console, progress)
        teacher = load_teacher(str(path), run_dir, device)
        report.note(f"teacher {teacher.path}")
        place = teacher.results(output, "evaluation")
        with atomic_folder(place, FILES) as folder:
            chosen = teacher.val_set(manifest, root_dir).with_subjects(subject).limit(limit, seed)
            crops = teacher.crops(chosen, run_dir, num_workers, report)
            report.note(f"{len(crops)} ears of {manifest or teacher.config.val_manifest}")
            vgg = perceptual_distance(perceptual_weights, teacher, report)
            evaluator = Evaluator(
                teacher.model, crops.pixels, crops.manifest.subject_numbers(), vgg, batch_size, seed, progress
            )
            try:
                train = teacher.crops(teacher.train_set(train_manifest, root_dir), run_dir, num_workers, report).pixels
            except EarError as error:
                # baselines inform: where their pictures are gone, the teacher can still be measured
                if train_manifest is not None:
                    raise
                report.note(f"no baselines: {error}")
                train = None
            evaluation = evaluator.run(train)
            lines = verdict_lines(evaluation.metrics, targets)
            source = str(manifest or teacher.config.val_manifest)
            document = write_evaluation(folder, teacher, source, crops, evaluation, lines)
    for note in evaluation.notes:
        report.note(note)
    if json:
        typer.echo(document)
    else:
        show_parts(console, HEADER, [(line.part, line.cells) for line in lines])
        report.note(f"results {place}: report.html, metrics.json, per_image.csv, examples.png")
    psnr = evaluation.metrics["reconstruction"]["psnr"]["value"]
    if fail_under_psnr is not None and psnr < fail_under_psnr:
        raise EarError(f"PSNR is {psnr:.2f} dB, under --fail-under-psnr {fail_under_psnr:g}. The results are kept.")

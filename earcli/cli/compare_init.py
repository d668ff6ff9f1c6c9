"""`ear compare-init`: what a teacher saves in labels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from earcli.cli import options
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import AUTO
from earcli.errors import ConfigError

STARTS: dict[str, dict[str, Any]] = {
    "none": {"init": "none"},
    "teacher": {"init": "teacher"},
    "frozen": {"init": "teacher", "freeze_encoder": True},
    "imagenet": {"init": "imagenet"},
}


def compare_init(
    ctx: typer.Context,
    manifests: Annotated[
        list[Path], typer.Option("--manifest", help="Labels to divide: COCO JSON, CSV, .npy, a folder of .pts; repeat.")
    ],
    checkpoint: options.Checkpoint = "best",
    starts: Annotated[
        str, typer.Option("--starts", help=f"What to start from, with commas between: {', '.join(STARTS)}.")
    ] = "none,teacher",
    budgets: Annotated[str, typer.Option("--budgets", help="Numbers of labels, with commas between.")] = "10,25,60",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How often everything is drawn anew.")] = 3,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Parts of the ears, each tested on once.")] = 5,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Batches that every detector learns from.")] = 250,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file of knobs of ear finetune, for all starts alike.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Detectors that train side by side, with one thread each.")
    ] = 1,
    subject: options.Subject = "column",
    root_dir: options.SourceRootDir = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the results.")] = Path("comparison"),
    run_dir: options.RunDir = Path("runs"),
    num_workers: options.NumWorkers = 4,
    as_json: options.AsJson = False,
) -> None:
    """Fine-tune from a teacher and from nothing with few labels, by cross-validation: what does the teacher save?"""
    from rich.console import Console

    from earcli.reporting.console import ProgressBar, Report, show_table
    from earcli.reporting.tables import comparison_rows
    from earcli.tasks.compare_init import run_comparison

    knobs = FinetuneConfig.read_file(config) if config else {}
    flags: dict[str, Any] = {"checkpoint": checkpoint, "run_dir": run_dir, "num_workers": num_workers}
    base = FinetuneConfig(**flags | knobs | {name: v for name, v in flags.items() if options.given(ctx, name)})
    if base.batch_size == AUTO:
        raise ConfigError("batch_size auto would differ from detector to detector. Give a number.")
    names = list(dict.fromkeys(starts.split(",")))
    unknown = [name for name in names if name not in STARTS]
    if unknown:
        raise ConfigError(f"--starts must be some of {', '.join(STARTS)}, got {unknown[0]!r}.")
    chosen = {name: replace(base, **STARTS[name]) for name in names}
    console = Console(stderr=as_json)
    with ProgressBar(console) as progress:
        report = Report(console, progress)
        rows = run_comparison(
            manifests, root_dir, subject, chosen, (_numbers(budgets), range(seeds), folds), steps, jobs, output, report
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        show_table(console, *comparison_rows(rows))
    report.note(f"results {output}: trials.csv, comparison.csv, curve.png")


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ConfigError(f"--budgets must be numbers of labels such as 10,25,60, got {text!r}.")
    return numbers

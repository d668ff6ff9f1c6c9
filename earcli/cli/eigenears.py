"""`ear eigenears`: the directions in which a teacher sees ears differ."""

from pathlib import Path
from typing import Annotated

import typer

from earcli.cli import options


def eigenears(
    checkpoint: options.Checkpoint = "last.ckpt",
    manifest: options.ReadManifest = None,
    root_dir: options.RootDir = None,
    limit: options.Limit = None,
    components: Annotated[int, typer.Option("--components", min=1, help="Principal components.")] = 16,
    reach: Annotated[float, typer.Option("--range", min=0.1, help="How far to go, in standard deviations.")] = 3.0,
    steps: Annotated[int, typer.Option("--steps", min=3, help="Ears in a strip; odd, so that one is the mean.")] = 9,
    output: options.Output = None,
    batch_size: options.BatchSize = 64,
    num_workers: options.NumWorkers = 4,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    run_dir: options.RunDir = Path("runs"),
    json: options.AsJson = False,
) -> None:
    """Show the directions in which ears differ for a teacher, and whether they are anatomy or light."""
    from rich.console import Console

    from earcli.errors import ConfigError
    from earcli.files import atomic_folder
    from earcli.reporting.console import ProgressBar, Report, show_parts
    from earcli.tasks.eigenears import FILES, HEADER, Study, study, write_eigenears
    from earcli.tasks.sources import load_teacher

    if steps % 2 == 0:
        raise ConfigError(f"--steps must be odd, so that the strip has the mean ear in its middle, got {steps}.")
    console = Console(stderr=json)
    with ProgressBar(console) as progress:
        report = Report(console, progress)
        teacher = load_teacher(checkpoint, run_dir, device)
        report.note(f"teacher {teacher.path}")
        place = teacher.results(output, "eigenears")
        with atomic_folder(place, FILES) as folder:
            chosen = teacher.val_set(manifest, root_dir).limit(limit, seed)
            crops = teacher.crops(chosen, run_dir, num_workers, report)
            source = str(manifest or teacher.config.val_manifest)
            report.note(f"{len(crops)} ears of {source}")
            found: Study = study(teacher, crops, components, batch_size, seed, progress)
            document = write_eigenears(folder, teacher, source, crops, found, reach, steps)
    if json:
        typer.echo(document)
        return
    show_parts(console, HEADER, found.rows())
    for note in found.notes():
        report.note(note)
    report.note(f"results {place}: eigenears_grid.png, variance.png, pc_01.png ..., eigenears.npz, eigenears.json")

"""`ear bench data`: the pixel cache and the loader, for sets of several sizes."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from earcli.cli import options
from earcli.config.teacher import TrainConfig

DRAWN_EARS = 200
COUNTS = (1_000, 15_029, 150_000)


def data(
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Pictures to make the sets of; by default it draws ears.")
    ] = None,
    root_dir: options.RootDir = None,
    count: Annotated[
        list[int] | None,
        typer.Option(
            "--count", min=1, help="Pictures in a set; give it again for more. By default 1000, 15029, 150000."
        ),
    ] = None,
    image_size: Annotated[int, typer.Option("--image-size", help="Side of the crops in pixels.")] = 64,
    batch_size: options.BatchSize = 32,
    num_workers: options.NumWorkers = 4,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for data.json and data.md; by default none.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure what pictures cost as a set grows: the cache's build and second start, images/s, memory.

    A set repeats pictures until it has as many as wanted; its cache goes to a temporary folder and takes 3 bytes a
    pixel: 1.8 GB for 150,000 crops of 64 pixels.
    """
    from rich.console import Console

    from earcli.benchmarks.loader import measure_sets
    from earcli.data.manifest import read_manifest
    from earcli.files import atomic_write, check_writable
    from earcli.reporting.benchmarks import SET_HEADINGS, set_markdown, set_rows
    from earcli.reporting.console import ProgressBar
    from earcli.reporting.tables import show_rows
    from earcli.synthetic.dataset import write_set

    TrainConfig(image_size=image_size)  # refuses a side that no model has
    if output is not None:
        check_writable(output)
    console = Console(stderr=as_json)
    with ProgressBar(console) as progress, TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if manifest is None:
            write_set(folder / "ears", DRAWN_EARS, 0, progress)
        pictures = read_manifest(manifest or folder / "ears" / "train_teacher.npy", root_dir)
        sets = measure_sets(pictures, count or COUNTS, image_size, batch_size, num_workers, folder, progress)
    result = {"image_size": image_size, "batch_size": batch_size, "num_workers": num_workers, "sets": sets}
    if output is not None:
        for name, text in (("data.json", json.dumps(result, indent=2)), ("data.md", set_markdown(result))):
            with atomic_write(output / name) as path:
                path.write_text(text, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    show_rows(console, [SET_HEADINGS, *set_rows(result)])

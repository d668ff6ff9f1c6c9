"""`ear prepare`: from pictures in any layout to a set that can be trained on."""

from pathlib import Path
from typing import Annotated

import typer

SHOWN = 5


def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="Folders of pictures and annotations, searched through; or .npy, .csv, .json files.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make; new or empty.")] = Path(
        "data/preprocessed"
    ),
    task: Annotated[
        str,
        typer.Option(
            "--task", help="teacher (every ear), detector (ears with a box), landmarks (ears with key points)."
        ),
    ] = "teacher",
    subject: Annotated[
        str,
        typer.Option(
            "--subject",
            help="What tells people apart: folder (a picture's folder), a regular expression for its path whose first "
            "group is the person, or none.",
        ),
    ] = "none",
    split: Annotated[float, typer.Option("--split", help="Share that trains; the rest validates.")] = 0.8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the split.")] = 0,
    root_dir: Annotated[
        Path | None,
        typer.Option(
            "--root-dir",
            help="Folder that paths in annotations start from and may not leave (default: they start from the "
            "annotation's folder and stay in their SOURCE).",
            show_default=False,
        ),
    ] = None,
    num_workers: Annotated[int, typer.Option("--num-workers", min=1, help="Threads that open pictures.")] = 4,
) -> None:
    """Find ears, sort out what cannot be used, divide so that nothing leaks."""
    from rich.console import Console

    from earcli.curation.card import write_prepared
    from earcli.curation.prepare import Wishes
    from earcli.curation.prepare import prepare as prepare_set
    from earcli.files import atomic_folder, check_empty_folder
    from earcli.reporting.console import ProgressBar, printable

    wishes = Wishes(task, subject, split, seed, root_dir, num_workers)
    check_empty_folder(output)
    notes = output.parent / f".{output.name}.scan.jsonl"
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        with ProgressBar(console) as progress:
            prepared = prepare_set(sources, wishes, progress, notes)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on where it was")
        raise typer.Exit(130) from None
    with atomic_folder(output) as folder:
        names = write_prepared(folder, output, prepared, wishes)
    notes.unlink(missing_ok=True)
    held_out = int(prepared.held_out.sum())
    console.print(f"{len(prepared.samples) - held_out} ears to train on, {held_out} to validate on, in {output}:")
    console.print(", ".join([*names, "data_card.md", "contact_sheet.png", "left_out.csv"]))
    for item in prepared.left_out[:SHOWN]:
        console.print(printable(f"left out {item.path or item.source}: {item.reason}"))
    if len(prepared.left_out) > SHOWN:
        console.print(f"left out {len(prepared.left_out)} in all; left_out.csv lists them")

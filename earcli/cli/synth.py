"""`ear synth`: draw labeled ears to try things on."""

from pathlib import Path
from typing import Annotated

import typer


def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make; new or empty.")],
    count: Annotated[int, typer.Option("--count", min=5, help="Ears to draw; a fifth are for validation.")] = 400,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that varies.")] = 0,
) -> None:
    """Draw ears with known anatomy, landmarks and light."""
    from rich.console import Console

    from earcli.reporting.console import ProgressBar
    from earcli.synthetic.dataset import write_set

    console = Console()
    with ProgressBar(console) as progress:
        write_set(folder, count, seed, progress)
    console.print(
        f"{count} ears in {folder}: images/, train_teacher.npy, val_teacher.npy, factors.csv,", highlight=False
    )
    console.print("train_landmarks.coco.json, val_landmarks.coco.json (17 points and a box each)", highlight=False)

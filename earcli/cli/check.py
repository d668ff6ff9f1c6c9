"""`ear check`: what is wrong with a set, before a GPU-hour is spent on it."""

from pathlib import Path
from typing import Annotated

import typer


def check(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST", help="The sides of a split: .npy, .csv or COCO's .json.")
    ],
    root_dir: Annotated[
        Path | None,
        typer.Option(
            "--root-dir",
            help="Folder that relative paths start from. (default: the manifest's)",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")] = Path("data/check"),
    drop: Annotated[
        bool, typer.Option("--drop", help="Write manifests without the harmful samples to OUTPUT/cleaned.")
    ] = False,
    num_workers: Annotated[int, typer.Option("--num-workers", min=1, help="Threads that open pictures.")] = 4,
) -> None:
    """Look for unreadable files, wrong boxes, copies, and leaks between the sides of a split."""
    from collections import Counter

    from rich.console import Console

    from earcli.curation.check import check as check_sides
    from earcli.curation.check import is_harmful, open_sides, write_cleaned, write_report
    from earcli.curation.findings import KINDS
    from earcli.files import check_writable
    from earcli.reporting.console import ProgressBar, printable, show_table

    check_writable(output)
    console = Console(highlight=False, markup=False)
    with ProgressBar(console) as progress:
        sides = open_sides(manifests, root_dir, num_workers, progress)
    findings = check_sides(sides)
    files = write_report(output, sides, findings)
    counts = Counter((finding.kind, finding.side) for finding in findings)
    rows = [
        (
            kind,
            *(str(counts[kind, number]) for number in range(len(sides))),
            "yes" if about.harmful else "",
            about.meaning,
        )
        for kind, about in KINDS.items()
        if any(counts[kind, number] for number in range(len(sides)))
    ]
    if rows:
        names = [printable(path.stem) for path in manifests]
        show_table(console, ("found", *names, "harmful", "meaning"), rows)
    total = sum(len(side.manifest) for side in sides)
    harmful = sum(map(is_harmful, findings))
    console.print(f"{total} ears, {len(findings)} findings, {harmful} of them harmful", soft_wrap=True)
    console.print(f"in {output}: {', '.join(files)}", soft_wrap=True)
    if drop:
        for path in write_cleaned(output, sides, findings):
            console.print(f"cleaned: {path}", soft_wrap=True)
    if harmful:
        raise typer.Exit(1)

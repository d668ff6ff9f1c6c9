"""`ear evaluate`: measure a teacher or a detector."""

from typing import Annotated

import typer
from rich.console import Console

from earcli.cli.command import command
from earcli.errors import ConfigError, EarError
from earcli.reporting.console import print_line
from earcli.tasks.evaluate import Evaluation
from earcli.tasks.evaluate import evaluate as task

FailUnderPsnr = Annotated[
    float | None,
    typer.Option("--fail-under-psnr", help="Exit with 1 if the PSNR is below this, for scripts. Teachers only."),
]


@command(task, short={"output": ("--output", "-o")})
def evaluate(console: Console, result: Evaluation, *, fail_under_psnr: FailUnderPsnr = None) -> None:
    from earcli.analysis.verdict import HEADER
    from earcli.reporting.tables import print_sections, print_table

    if result.kind == "teacher":
        sections = [
            (section, [row.cells for row in result.rows if row.section == section])
            for section in dict.fromkeys(row.section for row in result.rows)
        ]
        print_sections(console, HEADER, sections, optional=("95% interval", "target"))
        files = "report.html, metrics.json, per_image.csv, examples.png"
    else:
        print_table(console, HEADER[:3], [row.cells[:3] for row in result.rows], optional=("95% interval",))
        files = "report.html, metrics.json, per_image.csv, worst.png, errors.png"
    for note in result.notes:
        print_line(note, console)
    print_line(f"results {result.output}: {files}", console)
    if fail_under_psnr is not None:
        _require_psnr(result, fail_under_psnr)


def _require_psnr(result: Evaluation, least: float) -> None:
    if result.kind == "detector":
        raise ConfigError(f"--fail-under-psnr cannot be used: {result.metrics['detector']} is a detector.")
    psnr = result.metrics["reconstruction"]["psnr"]["value"]
    if psnr < least:
        raise EarError(f"PSNR is {psnr:.2f} dB, under --fail-under-psnr {least:g}. The results were kept.")

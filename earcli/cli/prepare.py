"""`ear prepare`: build a dataset from raw images and annotations."""

from typing import Any

import typer
from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.reporting.reporter import Reporter
from earcli.tasks.prepare import PrepareResult
from earcli.tasks.prepare import prepare as task

MAX_LINES = 5
"""Lines about what is left out."""


def _call(values: dict[str, Any], options: dict[str, Any], *, reporter: Reporter) -> PrepareResult:
    try:
        return task(**values, reporter=reporter)
    except KeyboardInterrupt:
        reporter.note("stopped; the same command continues where it was")
        raise typer.Exit(130) from None


@command(task, arguments=("sources",), short={"output": ("--output", "-o")}, call=_call, as_json=False)
def prepare(console: Console, result: PrepareResult) -> None:
    counts = f"{result.train_count} ears for training, {result.val_count} for validation"
    print_line(f"{counts}, in {result.output}:", console)
    names = [path.name for path in result.manifests]
    print_line(", ".join([*names, "data_card.md", "contact_sheet.png", "left_out.csv"]), console)
    for item in result.left_out[:MAX_LINES]:
        print_line(f"left out {item.path or item.source}: {item.reason}", console)
    if len(result.left_out) > MAX_LINES:
        print_line(f"left out {len(result.left_out)} in total; left_out.csv lists them", console)

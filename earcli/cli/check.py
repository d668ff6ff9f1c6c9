"""`ear check`: find faults in manifests before training."""

import typer
from rich.console import Console

from earcli.cli.command import command
from earcli.curation.findings import KINDS
from earcli.reporting.console import print_line, printable
from earcli.reporting.tables import print_table
from earcli.tasks.check import CheckResult
from earcli.tasks.check import check as task


@command(task, arguments=("manifests",), short={"output": ("--output", "-o")})
def check(console: Console, result: CheckResult) -> None:
    rows = [
        (kind, *map(str, counts), "yes" if KINDS[kind].harmful else "", KINDS[kind].meaning)
        for kind, counts in result.counts().items()
    ]
    if rows:
        names = [printable(path.stem) for path in result.manifests]
        print_table(console, ("finding", *names, "harmful", "meaning"), rows, optional=("meaning",))
    print_line(f"{result.ears} ears, {len(result.findings)} findings, {result.harmful} of them harmful", console)
    print_line(f"in {result.output}: {', '.join(result.files)}", console)
    for path in result.cleaned:
        print_line(f"cleaned: {path}", console)
    if result.harmful:
        raise typer.Exit(1)

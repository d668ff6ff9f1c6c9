"""`ear check`: report the faults of a dataset."""

import typer
from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line, printable
from earcli.tasks.check import CheckResult
from earcli.tasks.check import check as task


@command(task, arguments=("manifests",), short={"output": ("--output", "-o")})
def check(console: Console, result: CheckResult) -> None:
    from earcli.reporting.tables import print_table

    header = ("kind", *(printable(path.stem) for path in result.manifests), "harmful", "meaning")
    if rows := _rows(result):
        print_table(console, header, rows, optional=("meaning",))
    print_line(f"{sum(result.ears)} ears, {len(result.findings)} findings, {result.harmful} of them harmful", console)
    print_line(f"report {result.output}: {', '.join(file.name for file in result.files)}", console)
    for path in result.cleaned:
        print_line(f"cleaned: {path}", console)
    if result.harmful:
        raise typer.Exit(1)


def _rows(result: CheckResult) -> list[tuple[str, ...]]:
    """The findings of each kind in each manifest."""
    from earcli.curation.findings import KINDS, count_kind

    rows = []
    for name, kind in KINDS.items():
        counts = count_kind(result.findings, name, len(result.manifests))
        if any(counts):
            rows.append((name, *map(str, counts), "yes" if kind.harmful else "", kind.meaning))
    return rows

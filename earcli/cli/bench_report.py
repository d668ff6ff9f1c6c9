"""What the `bench` commands show."""

from rich.console import Console

from earcli.benchmarks.report import Benchmark
from earcli.reporting.console import print_line
from earcli.reporting.tables import print_table


def show_benchmark(console: Console, result: Benchmark) -> None:
    """Prints title and tables, a blank line before each table, and the path of the report."""
    print_line(result.title, console)
    for table in result.tables:
        console.print()
        print_table(console, *table)
    if result.folder is not None:
        print_line(f"report: {result.folder}", console)

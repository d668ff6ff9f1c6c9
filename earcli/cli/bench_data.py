"""`ear bench data`: measure pixel cache and loader."""

from rich.console import Console

from earcli.benchmarks.report import Benchmark
from earcli.cli.bench_report import show_benchmark
from earcli.cli.command import command
from earcli.tasks.bench_data import bench_data as task


@command(task, short={"counts": ("--count",), "output": ("--output", "-o")})
def bench_data(console: Console, result: Benchmark) -> None:
    show_benchmark(console, result)

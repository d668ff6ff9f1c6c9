"""`ear bench infer`: measure the encoder in PyTorch and ONNX."""

from rich.console import Console

from earcli.benchmarks.report import Benchmark
from earcli.cli.bench_report import show_benchmark
from earcli.cli.command import command
from earcli.tasks.bench_infer import bench_infer as task

SHORT = {"backends": ("--backend",), "batch_sizes": ("--batch-size",), "output": ("--output", "-o")}


@command(task, short=SHORT)
def bench_infer(console: Console, result: Benchmark) -> None:
    show_benchmark(console, result)

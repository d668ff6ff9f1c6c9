"""`ear bench train`: measure the training step."""

from rich.console import Console

from earcli.benchmarks.report import Benchmark
from earcli.cli.bench_report import show_benchmark
from earcli.cli.command import command
from earcli.config.teacher import TrainConfig
from earcli.tasks.bench_train import bench_train as task


@command(task, knobs=(TrainConfig,), short={"output": ("--output", "-o")})
def bench_train(console: Console, result: Benchmark) -> None:
    show_benchmark(console, result)

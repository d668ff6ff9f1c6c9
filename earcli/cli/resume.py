"""`ear resume`: continue a stopped run."""

from rich.console import Console

from earcli.cli.command import command
from earcli.cli.run_summary import show_run
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.tasks.resume import resume as task
from earcli.tasks.train import TrainResult


@command(task, arguments=("checkpoint",), knobs=(TrainConfig, FinetuneConfig), resumable_only=True, as_json=False)
def resume(console: Console, result: TrainResult) -> None:
    show_run(console, result)

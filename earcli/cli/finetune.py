"""`ear finetune`: train a detector, starting from a teacher."""

from typing import Any

from rich.console import Console

from earcli.cli.command import command
from earcli.cli.run_summary import PrintConfig, show_run
from earcli.config.detector import FinetuneConfig
from earcli.reporting.reporter import Reporter
from earcli.tasks.finetune import finetune as task
from earcli.tasks.train import TrainResult


def _call(values: dict[str, Any], options: dict[str, Any], *, reporter: Reporter) -> TrainResult | FinetuneConfig:
    if options["print_config"]:
        return FinetuneConfig.resolve(values.pop("preset"), values.pop("config"), values)
    return task(**values, reporter=reporter)


@command(task, knobs=(FinetuneConfig,), call=_call, as_json=False)
def finetune(console: Console, result: TrainResult | FinetuneConfig, *, print_config: PrintConfig = False) -> None:
    show_run(console, result)

"""`ear train`: train a teacher."""

from typing import Annotated, Any

import typer
from rich.console import Console

from earcli.cli.command import command
from earcli.cli.run_summary import PrintConfig, show_run
from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError
from earcli.reporting.reporter import Reporter
from earcli.tasks.resume import resume as resume_task
from earcli.tasks.train import TrainResult
from earcli.tasks.train import train as task

Resume = Annotated[
    str | None, typer.Option("--resume", help="Continue the run of this checkpoint, as ear resume does.")
]


def _call(values: dict[str, Any], options: dict[str, Any], *, reporter: Reporter) -> TrainResult | TrainConfig:
    if options["resume"] is not None:
        preset, config = values.pop("preset"), values.pop("config")
        if preset != "full" or config is not None:
            raise ConfigError("`resume` takes its configuration from the checkpoint: omit `preset` and `config`.")
        return resume_task(options["resume"], reporter=reporter, **values)
    if options["print_config"]:
        return TrainConfig.resolve(values.pop("preset"), values.pop("config"), values)
    return task(**values, reporter=reporter)


@command(task, knobs=(TrainConfig,), call=_call, as_json=False)
def train(
    console: Console, result: TrainResult | TrainConfig, *, print_config: PrintConfig = False, resume: Resume = None
) -> None:
    show_run(console, result)

"""`ear train`: learn from a manifest of ear crops."""

from pathlib import Path
from typing import Annotated, Any

import typer

from earcli.cli.options import with_knobs
from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError


@with_knobs(TrainConfig)
def train(
    ctx: typer.Context,
    preset: Annotated[
        str,
        typer.Option("--preset", help="Where defaults come from: full, small (a CPU and an hour), tiny (demo)."),
    ] = "full",
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of knobs; a flag wins over it.")] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the knobs as YAML and stop.")] = False,
    resume: Annotated[
        str | None,
        typer.Option("--resume", help="Go on from this checkpoint, in its run; like `ear resume`."),
    ] = None,
    *,
    knobs: dict[str, Any],
) -> None:
    """Train a teacher on unlabeled ear crops."""
    if resume is not None:
        if preset != "full" or config is not None:
            raise ConfigError("--resume takes its configuration from the checkpoint: leave --preset and --config out.")
        from earcli.tasks.train import take_up

        take_up(resume, knobs)
        return
    chosen = TrainConfig.resolve(preset, TrainConfig.read_file(config) if config else {}, knobs)
    if print_config:
        typer.echo(chosen.to_yaml(), nl=False)
        return
    from earcli.tasks import train as session

    session.train(chosen)

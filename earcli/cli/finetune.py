"""`ear finetune`: a detector with landmarks, from a teacher and a few labels."""

from pathlib import Path
from typing import Annotated, Any

import typer

from earcli.cli.options import with_knobs
from earcli.config.detector import FinetuneConfig


@with_knobs(FinetuneConfig)
def finetune(
    ctx: typer.Context,
    preset: Annotated[
        str, typer.Option("--preset", help="Where defaults come from: full, small (a CPU), tiny (demo).")
    ] = "full",
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of knobs; a flag wins over it.")] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the knobs as YAML and stop.")] = False,
    *,
    knobs: dict[str, Any],
) -> None:
    """Train a detector of ears and landmarks on a few labels, from a teacher."""
    chosen = FinetuneConfig.resolve(preset, FinetuneConfig.read_file(config) if config else {}, knobs)
    if print_config:
        typer.echo(chosen.to_yaml(), nl=False)
        return
    from earcli.tasks import finetune as finetuning

    finetuning.finetune(chosen)

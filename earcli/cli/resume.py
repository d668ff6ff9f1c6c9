"""`ear resume`: go on with a run that was stopped."""

from typing import Annotated, Any

import typer

from earcli.cli.options import with_knobs
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig


@with_knobs(TrainConfig, FinetuneConfig, resumable_only=True)
def resume(
    ctx: typer.Context,
    checkpoint: Annotated[
        str, typer.Argument(help="A complete checkpoint: a file, or last.ckpt of the newest run.")
    ] = "last.ckpt",
    *,
    knobs: dict[str, Any],
) -> None:
    """Go on with a run, in its folder, as if it had never stopped."""
    from earcli.tasks.train import take_up

    take_up(checkpoint, knobs)

"""What a run that was stopped says, and exits with."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from earcli.reporting.console import Report


def resume_command(checkpoint: Path, *more: str) -> str:
    return shlex.join(["ear", "resume", str(checkpoint), *more])


@contextmanager
def stops_told(report: "Report", left: str = "") -> Iterator[None]:
    """Turns a signal that stopped training into a line and an exit code of 128 + its number.

    Args:
        left: what is there then; by default the command that goes on.
    """
    from earcli.training.callbacks import InterruptedTraining

    try:
        yield
    except InterruptedTraining as stopped:
        if not left and stopped.last is not None:
            left = f"go on with: {resume_command(stopped.last)}"
        report.note(f"stopped; {left}" if left else "stopped")
        raise typer.Exit(128 + stopped.signal_number) from None

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
def stops_told(report: "Report") -> Iterator[None]:
    """Turns a signal that stopped training into the command that goes on and an exit code of 128 + its number."""
    from earcli.training.callbacks import InterruptedTraining

    try:
        yield
    except InterruptedTraining as stopped:
        report.note(f"stopped; go on with: {resume_command(stopped.last)}" if stopped.last else "stopped")
        raise typer.Exit(128 + stopped.signal_number) from None

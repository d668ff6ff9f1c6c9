"""Turns errors into one line and an exit code."""

from collections.abc import Callable, Mapping

import typer

from earcli.cli.messages import show_error, show_stop
from earcli.cli.preflight import check_environment
from earcli.errors import EarError, InterruptedTraining, RunError, is_out_of_memory


def guarded(work: Callable[[], None], debug: bool, flags: Mapping[str, str]) -> None:
    """Runs `work` and turns errors into one red line and an exit code; this is the only place that does.

    Args:
        work: The task and the output of its result.
        debug: Lets errors pass, for their tracebacks.
        flags: The flag of each parameter of the command, for error messages.
    """
    if debug:
        work()
        return
    try:
        check_environment()
        work()
    except InterruptedTraining as stopped:
        show_stop(stopped)
        raise typer.Exit(128 + stopped.signal_number) from None
    except EarError as error:
        show_error(error, flags)
        raise typer.Exit(1) from None
    except (MemoryError, RuntimeError, ImportError) as error:
        if not is_out_of_memory(error):
            raise
        show_error(RunError("Memory ran out. Use a smaller batch or image, or close other programs."), flags)
        raise typer.Exit(1) from None

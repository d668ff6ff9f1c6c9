"""The one line that ends a command with an error or a stop."""

import shlex
from collections.abc import Mapping
from types import MappingProxyType

from earcli.cli.flags import with_flags
from earcli.errors import EarError, InterruptedTraining


def show_error(error: EarError, flags: Mapping[str, str] = MappingProxyType({})) -> None:
    """Prints one red line on standard error; nothing for an error that another process of the run reports."""
    from earcli.reporting.console import print_error

    if str(error):
        print_error(with_flags(str(error), flags))


def show_stop(stopped: InterruptedTraining) -> None:
    """Prints one line: how to continue a run that a signal stopped."""
    from earcli.reporting.console import is_main_process, print_line

    if is_main_process():
        resume = f"; continue with: {shlex.join(['ear', 'resume', str(stopped.last)])}" if stopped.last else ""
        print_line(f"stopped{resume}")

"""Runs a task under a progress bar and shows its result."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import typer

from earcli.cli.flags import with_flags

Show = Callable[..., None]
Call = Callable[..., Any]


def run_and_show(work: Call, show: Show, as_json: bool, options: Mapping[str, Any], flags: Mapping[str, str]) -> None:
    """Runs a task under a progress bar, then prints and shows its result."""
    from earcli.reporting.console import ConsoleReporter, open_console

    console = open_console(stderr=as_json)
    with ConsoleReporter(console, lambda text: with_flags(text, flags)) as reporter:
        result = work(reporter=reporter)
    if result is None or console.quiet:
        return
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2, allow_nan=False))
    show(console, result, **options)

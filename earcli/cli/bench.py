"""`ear bench`: the commands that measure speed."""

import typer

bench = typer.Typer(name="bench", help="Measure how fast a teacher is on this machine.", no_args_is_help=True)

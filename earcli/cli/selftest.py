"""`ear selftest`: is this installation sound?"""

from typing import Annotated, Any

import typer

from earcli.cli import options


def selftest(
    full: Annotated[
        bool, typer.Option("--full", help="Also draw, train, resume, evaluate and look at eigenears, in a few minutes.")
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Check the installation on the default architecture, without network or pictures."""
    from dataclasses import asdict
    from json import dumps

    from rich.console import Console

    from earcli.benchmarks.environment import environment
    from earcli.benchmarks.selftest import Check, run_checks
    from earcli.benchmarks.walkthrough import run_commands
    from earcli.config.teacher import TrainConfig
    from earcli.errors import SelfTestError
    from earcli.reporting.console import ProgressBar, show_parts
    from earcli.training.loop import quiet_lightning
    from earcli.training.precision import choose_precision

    console = Console(stderr=json)
    config = choose_precision(TrainConfig.resolve("full", {}, {"weights": "none"}))
    facts = environment(config)
    checks: list[Check] = []
    with ProgressBar(console) as progress, quiet_lightning():
        for check in run_checks(config):
            checks.append(check)
            progress(f"checking the {check.part}", len(checks), 0)
        if full:
            for check in run_commands():
                checks.append(check)
                progress(f"running ear {check.name}", len(checks), 0)
    failed = [check for check in checks if check.passed is False]
    if json:
        result: dict[str, Any] = {"environment": facts, "checks": [asdict(check) for check in checks]}
        typer.echo(dumps(result, indent=2))
    else:
        show_parts(console, [("", 0), ("", 0)], [("environment", (name, value)) for name, value in facts.items()])
        header = [("check", 0), ("measured", 0), ("wanted", 80), ("", 0)]
        show_parts(console, header, [(c.part, (c.name, c.measured, c.wanted, c.passed)) for c in checks])
    if failed:
        names = ", ".join(f"{check.part}: {check.name}" for check in failed)
        raise SelfTestError(f"{len(failed)} of {len(checks)} checks failed ({names}). Send --json with a report of it.")
    console.print(f"{len(checks)} checks, none failed", highlight=False)

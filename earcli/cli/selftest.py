"""`ear selftest`: check the installation."""

from itertools import groupby

from rich.console import Console

from earcli.cli.command import command
from earcli.errors import SelfTestError
from earcli.reporting.console import print_line
from earcli.reporting.tables import print_sections
from earcli.tasks.selftest import SelftestResult
from earcli.tasks.selftest import selftest as task


@command(task)
def selftest(console: Console, result: SelftestResult) -> None:
    print_sections(console, ("", ""), [("environment", list(result.environment.items()))])
    sections = [
        (part, [(check.name, check.measured, check.expected, check.passed) for check in checks])
        for part, checks in groupby(result.checks, key=lambda check: check.part)
    ]
    print_sections(console, ("check", "measured", "expected", ""), sections)
    count = len(result.checks)
    if result.failed:
        names = ", ".join(f"{check.part}: {check.name}" for check in result.failed)
        raise SelfTestError(
            f"{len(result.failed)} of {count} checks failed ({names}). Include the output of --json in a bug report."
        )
    print_line(f"{count} checks, none failed", console)

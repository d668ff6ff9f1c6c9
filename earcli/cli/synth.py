"""`ear synth`: draw labeled ears to try things on."""

from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.tasks.synth import SynthResult
from earcli.tasks.synth import synth as task


@command(task, arguments=("folder",), as_json=False)
def synth(console: Console, result: SynthResult) -> None:
    names = ", ".join(path.name for path in (result.train_manifest, result.val_manifest))
    labels = ", ".join(path.name for path in (result.train_landmarks, result.val_landmarks))
    print_line(f"{result.count} ears in {result.folder}: images/, {names}, factors.csv,", console)
    print_line(f"{labels} (17 points and a box each)", console)

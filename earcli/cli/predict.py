"""`ear predict`: the ear and its landmarks in images."""

from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.tasks.predict import PredictResult
from earcli.tasks.predict import predict as task


@command(task, arguments=("sources",), short={"output": ("--output", "-o")})
def predict(console: Console, result: PredictResult) -> None:
    if result.skipped:
        print_line(f"images that could not be read: {result.output / 'skipped.csv'}", console)
    print_line(f"{result.ears} ears of confidence {result.threshold:g} or more in {result.pictures} pictures", console)
    print_line(f"results {result.output}: predictions.json (COCO), predictions.csv, pictures/", console)
    if result.crops is not None:
        print_line(f"cropped ears: {result.crops}", console)

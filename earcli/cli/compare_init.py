"""`ear compare-init`: measure what a teacher saves in labels."""

from typing import Any

from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.tasks.compare_init import ComparisonResult
from earcli.tasks.compare_init import compare_init as task


@command(task, short={"manifests": ("--manifest",), "output": ("--output", "-o")})
def compare_init(console: Console, result: ComparisonResult) -> None:
    from earcli.reporting.tables import print_table

    first = result.rows[0]["start"]
    header = ["start", "labels", "NME", "95% interval", "IoU", f"below {first}"]
    rows = [
        (
            row["start"],
            str(row["labels"]),
            f"{row['nme']:.2%}",
            f"{row['nme_low']:.2%} to {row['nme_high']:.2%}",
            f"{row['iou']:.3f}",
            "" if row["start"] == first else _interval(row),
        )
        for row in sorted(result.rows, key=lambda row: row["labels"])
    ]
    print_table(console, header, rows)
    print_line(f"results {result.output}: trials.csv, comparison.csv, curve.png", console)


def _interval(row: dict[str, Any]) -> str:
    return f"{row['below_first']:.0%} ({row['below_first_low']:.0%} to {row['below_first_high']:.0%})"

"""`ear export`: export a trained model to a file that runs without `ear`."""

from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.reporting.tables import Cell, print_table
from earcli.tasks.export import ExportResult
from earcli.tasks.export import export as task

HEADER = ("output", "max |a−b|", "relative error", "cosine")


@command(task, short={"output": ("--output", "-o")})
def export(console: Console, result: ExportResult) -> None:
    tolerance = result.record["tolerance"]
    rows: list[tuple[Cell, ...]] = [
        (name, f"{error['max_abs']:.1e}", f"{error['relative']:.1e}", f"{error['cosine']:.6f}")
        for name, error in result.outputs.items()
    ]
    rows.append(("tolerance", None, f"{tolerance['relative']:.0e}", f"{tolerance['cosine']:g}"))
    print_table(console, HEADER, rows)
    batches = ", ".join(str(size) for size in result.record["batches"])
    line = f"{result.record['images']} real crops at batches {batches}"
    if result.psnr_db is not None:
        line += f"; reconstructions agree to {result.psnr_db:.1f} dB (tolerance {tolerance['psnr']:g})"
    print_line(line, console)
    print_line(f"{result.path}: {result.bytes / 1e6:.1f} MB, weights {result.fingerprint}", console)

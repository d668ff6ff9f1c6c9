"""Tables of results. Plain data in, rich tables out."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


def parity_table(record: Mapping[str, Any]) -> Table:
    """What `earcli.exporting.export.note_parity` returns, a row an output."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("output")
    for heading in ("max |a−b|", "relative", "cosine"):
        table.add_column(heading, justify="right")
    for name, value in record["outputs"].items():
        cells = f"{value['max_abs']:.1e}", f"{value['relative']:.1e}", f"{value['cosine']:.6f}"
        table.add_row(name, *cells)
    bound = record["tolerance"]
    table.add_section()
    table.add_row("tolerance", "", f"{bound['relative']:.0e}", f"{bound['cosine']:g}", style="dim")
    return table


def parity_line(record: Mapping[str, Any]) -> str:
    """What `parity_table` was measured on, and how alike the reconstructions are."""
    text = f"{record['images']} real crops at batches {', '.join(map(str, record['batches']))}"
    level = record["psnr_db"]
    if level is None:
        return text
    return f"{text}; reconstructions agree to {level:.1f} dB (tolerance {record['tolerance']['psnr']:g})"

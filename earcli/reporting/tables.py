"""Tables of results. Plain data in, rich tables out."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text


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


def neighbour_table(query: str, found: Sequence[Mapping[str, Any]]) -> Table:
    """The neighbours of one query, the nearest first: `path`, `distance`, `subject` or None each."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=Text(query), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("distance", justify="right")
    named = any(hit["subject"] for hit in found)
    if named:
        table.add_column("subject", overflow="fold")
    table.add_column("picture", overflow="fold")
    for rank, hit in enumerate(found, 1):
        subject = [Text(hit["subject"] or "")] if named else []
        table.add_row(str(rank), f"{hit['distance']:.4f}", *subject, Text(hit["path"]))
    return table


def identification_table(result: Mapping[str, Any]) -> Table:
    """How well an index tells people apart: `cmc` from rank 1, `auc`, `eer`, and what they were measured on."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("people, pictures", f"{result['people']}, {result['pictures']}")
    for rank in (1, 5, 10, 20):
        if rank <= len(result["cmc"]):
            table.add_row(f"found among the first {rank}" if rank > 1 else "rank-1", f"{result['cmc'][rank - 1]:.1%}")
    table.add_row("AUC", f"{result['auc']:.3f}")
    table.add_row("EER", f"{result['eer']:.1%}")
    kind = "drawn pairs" if result["sampled"] else "pairs"
    table.add_row(f"{kind} of one, of two people", f"{result['genuine']:,}, {result['impostor']:,}")
    return table

"""Tables of results. Plain data in, rich tables or their rows out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from earcli.reporting.console import printable, show_blocks

ANY_WIDTH = 10_000


def parity_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """What `earcli.exporting.export.note_parity` returns: a header, then a row an output."""
    rows = [["output", "max |a−b|", "relative", "cosine"]]
    for name, value in record["outputs"].items():
        rows.append([name, f"{value['max_abs']:.1e}", f"{value['relative']:.1e}", f"{value['cosine']:.6f}"])
    bound = record["tolerance"]
    return [*rows, ["tolerance", "", f"{bound['relative']:.0e}", f"{bound['cosine']:g}"]]


def parity_line(record: Mapping[str, Any]) -> str:
    """What `parity_rows` was measured on, and how alike the reconstructions are."""
    text = f"{record['images']} real crops at batches {', '.join(map(str, record['batches']))}"
    level = record["psnr_db"]
    if level is None:
        return text
    return f"{text}; reconstructions agree to {level:.1f} dB (tolerance {record['tolerance']['psnr']:g})"


def neighbor_table(query: str, found: Sequence[Mapping[str, Any]]) -> Table:
    """The neighbors of one query, the nearest first: `path`, `distance`, `subject` or None each."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=Text(printable(query)), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("distance", justify="right")
    named = any(hit["subject"] for hit in found)
    if named:
        table.add_column("subject", overflow="fold")
    table.add_column("picture", overflow="fold")
    for rank, hit in enumerate(found, 1):
        subject = [Text(printable(hit["subject"] or ""))] if named else []
        table.add_row(str(rank), f"{hit['distance']:.4f}", *subject, Text(printable(hit["path"])))
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


def comparison_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """What `earcli.training.comparison.summarize` returns, as a header and rows."""
    header = ["start", "labels", "NME", "95% interval", "IoU", f"below {rows[0]['start']}"]
    cells = [
        [
            row["start"],
            str(row["labels"]),
            f"{row['nme']:.2%}",
            f"{row['nme_low']:.2%} to {row['nme_high']:.2%}",
            f"{row['iou']:.3f}",
            f"{row['below_first']:.0%}",
        ]
        for row in sorted(rows, key=lambda row: row["labels"])
    ]
    return header, cells


BACKEND_NAMES = {"torch": "PyTorch", "compile": "torch.compile", "onnx": "ONNX fp32", "int8": "ONNX int8"}


def bench_speeds(result: Mapping[str, Any]) -> list[list[str]]:
    """What `ear bench infer` timed: a header, then a row an encoder and batch.

    The ratio is that of images/s to PyTorch's at the same batch.
    """
    eager = {s["batch"]: s["images_per_second"] for s in result["speed"] if s["backend"] == "torch"}
    rows = [["encoder", "batch", "images/s", "ratio", "median ms", "p95 ms"]]
    for speed in result["speed"]:
        ratio = f"{speed['images_per_second'] / eager[speed['batch']]:.2f}" if eager else ""
        times = [f"{speed[name]:.2f}" for name in ("median_ms", "p95_ms")]
        name = BACKEND_NAMES[speed["backend"]]
        rows.append([name, str(speed["batch"]), f"{speed['images_per_second']:.1f}", ratio, *times])
    return rows


def bench_facts(result: Mapping[str, Any]) -> list[list[str]]:
    """What `ear bench infer` found beside speed: a header, then a row an encoder."""
    rows = [["encoder", "peak memory MB", "file MB", "relative error", "least cosine"]]
    for name, facts in result["backends"].items():
        sizes = [f"{facts['peak_memory_bytes'] / 1e6:.0f}", f"{facts['file_bytes'] / 1e6:.1f}"]
        rows.append([BACKEND_NAMES[name], *sizes, f"{facts['relative_error']:.1e}", f"{facts['cosine']:.6f}"])
    return rows


def show_rows(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Rows under a header as a table, names to the left, numbers to the right; as blocks where that is too wide."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*row)
    least = console.measure(table, options=console.options.update(width=ANY_WIDTH)).minimum
    if least <= console.width:
        console.print(table, highlight=False)
    else:
        show_blocks(console, rows[0], rows[1:])


def bench_markdown(result: Mapping[str, Any]) -> str:
    """What `ear bench infer` found, as Markdown."""
    parts = [f"{result['machine']}, {Path(result['checkpoint']).name}, {result['images']} real crops:"]
    for header, *rows in (bench_speeds(result), bench_facts(result)):
        lines = [header, ["---"] * len(header), *rows]
        parts.append("\n".join("| " + " | ".join(cells) + " |" for cells in lines))
    return "\n\n".join(parts) + "\n"

"""Tables of results on a terminal, in a pipe, and in Markdown. Plain cells in."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from earcli.reporting.console import print_line, printable

Cell = str | bool | None
"""A cell of a table: True is shown as met, False as missed, None as nothing."""
ANY_WIDTH = 10_000


def cell_text(cell: Cell) -> str:
    """What a cell shows.

    >>> cell_text(True), cell_text(None), cell_text("25.1")
    ('met', '', '25.1')
    """
    return ("met" if cell else "missed") if isinstance(cell, bool) else printable(cell or "")


def print_table(console: Console, header: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "") -> None:
    """A table; cells two spaces apart in a pipe, and a block of lines for each row where the terminal is too narrow.

    Names are aligned to the left, the other columns to the right.
    """
    if title:
        print_line(title, console)
    if not console.is_terminal:
        text = [list(header), *([cell_text(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*text, strict=True)]
        for line in text:
            print_line("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip(), console)
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for number, heading in enumerate(header):
        # the last column may be a sentence, and wrap
        last = number == len(header) - 1
        table.add_column(
            heading, justify="right" if number and not _is_prose(rows, number) else "left", no_wrap=not last
        )
    for row in rows:
        table.add_row(*map(_styled, row))
    if console.measure(table, options=console.options.update(width=ANY_WIDTH)).minimum <= console.width:
        console.print(table, highlight=False)
    else:
        _print_blocks(console, header, rows)


def print_sections(
    console: Console, header: Sequence[str], sections: Sequence[tuple[str, Sequence[Sequence[Cell]]]]
) -> None:
    """Rows under the title of their section; in a pipe each line names its section and its columns."""
    if console.is_terminal:
        rows = [row for title, part in sections for row in ([title, *[None] * (len(header) - 1)], *part)]
        print_table(console, header, rows)
        return
    for title, part in sections:
        for row in part:
            named = [
                f"{name} {cell_text(cell)}".strip() for name, cell in zip(header, row, strict=True) if cell_text(cell)
            ]
            print_line(f"{title}: {'  '.join(named)}" if title else "  ".join(named), console)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table in Markdown, names to the left, numbers to the right.

    >>> print(markdown_table(["encoder", "images/s"], [["ONNX", "12.0"]]), end="")
    | encoder | images/s |
    |---|--:|
    | ONNX | 12.0 |
    """
    rule = "|---" + "|--:" * (len(header) - 1) + "|"
    return "\n".join([f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _is_prose(rows: Sequence[Sequence[Cell]], number: int) -> bool:
    """Whether a column holds words: then it is aligned to the left."""
    return any(cell_text(row[number])[:1].isalpha() and " " in cell_text(row[number]) for row in rows)


def _styled(cell: Cell) -> Text:
    style = {True: "green", False: "red"}[cell] if isinstance(cell, bool) else ""
    return Text(cell_text(cell), style=style)


def _print_blocks(console: Console, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """For each row its first cell, and below it a line for every other one."""
    for first, *cells in rows:
        console.print(Text(cell_text(first), style="bold"), soft_wrap=True)
        for name, cell in zip(header[1:], cells, strict=True):
            if cell_text(cell):
                print_line(f"  {name}: {cell_text(cell)}", console)

"""Tables of results on a terminal, in a pipe, and in Markdown. Plain cells in."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from earcli.reporting.console import print_line, printable
from earcli.reporting.markdown import escape

Cell = str | bool | None
"""A cell of a table: True is shown as met, False as missed, None as nothing."""
Rows = Sequence[Sequence[Cell]]
Section = tuple[str, Rows]
"""The title of a section and its rows."""
ANY_WIDTH = 10_000
PROSE_WIDTH = 24


def cell_text(cell: Cell) -> str:
    """The text of a cell.

    >>> cell_text(True), cell_text(None), cell_text("25.1")
    ('met', '', '25.1')
    """
    return ("met" if cell else "missed") if isinstance(cell, bool) else printable(cell or "")


def print_table(
    console: Console, header: Sequence[str], rows: Rows, title: str = "", *, optional: Sequence[str] = ()
) -> None:
    """Prints a table; in a pipe, aligned lines with cells two spaces apart.

    If the terminal is too narrow, the optional columns are dropped one by one; if that is not enough, each row is
    printed as a block of lines with all of its cells.

    Args:
        console: Where to print.
        header: The headings.
        rows: The cells. The first column and prose are aligned to the left, other columns to the right.
        title: A line above the table.
        optional: Headings of the columns that a narrow terminal does not show, the first to go first.
    """
    if title:
        print_line(title, console)
    if console.is_terminal:
        _print_fitting(console, header, [("", rows)], optional)
        return
    lines = [list(header), *([cell_text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print_line("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip(), console)


def print_sections(
    console: Console, header: Sequence[str], sections: Sequence[Section], *, optional: Sequence[str] = ()
) -> None:
    """Prints rows under the titles of their sections; in a pipe, each line names its section and its columns.

    Args:
        console: Where to print.
        header: The headings.
        sections: Title and rows of each section; the title may be empty.
        optional: See `print_table`.
    """
    if console.is_terminal:
        _print_fitting(console, header, sections, optional)
        return
    for title, rows in sections:
        for row in rows:
            pairs = zip(header, map(cell_text, row), strict=True)
            line = "  ".join(f"{heading} {text}".strip() for heading, text in pairs if text)
            print_line(f"{title}: {line}" if title else line, console)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is aligned to the left, the others to the right. Cells are escaped.

    >>> print(markdown_table(["encoder", "images/s"], [["ONNX", 12.0]]), end="")
    | encoder | images/s |
    | --- | --: |
    | ONNX | 12.0 |
    """
    rule = ["---", *["--:"] * (len(header) - 1)]
    lines = [header, rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _print_fitting(
    console: Console, header: Sequence[str], sections: Sequence[Section], optional: Sequence[str]
) -> None:
    """Prints on a terminal, with as many of the optional columns as fit, or else as blocks."""
    for dropped in range(len(optional) + 1):
        columns = [number for number, heading in enumerate(header) if heading not in optional[:dropped]]
        table = _table(header, sections, columns)
        if console.measure(table, options=console.options.update(width=ANY_WIDTH)).minimum <= console.width:
            console.print(table, highlight=False)
            return
    _print_blocks(console, header, sections)


def _table(header: Sequence[str], sections: Sequence[Section], columns: Sequence[int]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for number in columns:
        texts = [cell_text(row[number]) for _, rows in sections for row in rows]
        prose = any(text[:1].isalpha() and " " in text for text in texts)
        wraps = prose and number == len(header) - 1  # the last column may be a sentence
        table.add_column(
            header[number],
            justify="right" if number and not prose else "left",
            no_wrap=not wraps,
            min_width=min(PROSE_WIDTH, max(map(len, texts))) if wraps else None,
        )
    for title, rows in sections:
        if title:
            table.add_row(Text(title, style="bold"))
        for row in rows:
            table.add_row(*(_styled(row[number]) for number in columns))
    return table


def _styled(cell: Cell) -> Text:
    style = ("green" if cell else "red") if isinstance(cell, bool) else ""
    return Text(cell_text(cell), style=style)


def _print_blocks(console: Console, header: Sequence[str], sections: Sequence[Section]) -> None:
    """Prints the first cell of each row, and below it a line for each other one."""
    for title, rows in sections:
        if title:
            print_line(title, console)
        for first, *cells in rows:
            console.print(Text(cell_text(first), style="bold"), soft_wrap=True)
            for heading, cell in zip(header[1:], cells, strict=True):
                if text := cell_text(cell):
                    print_line(f"  {heading}: {text}", console)

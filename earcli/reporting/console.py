"""What a person sees: tables, progress, one-line errors."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from earcli.startup import LOGGER

# log key, heading, format, least terminal width that shows it
Column = tuple[str, str, str, int]
COLUMNS: tuple[Column, ...] = (
    ("epoch", "epoch", "d", 0),
    ("train/loss", "train loss", ".4f", 45),
    ("val/loss", "val loss", ".4f", 60),
    ("val/psnr", "PSNR dB", ".2f", 0),
    ("val/ssim", "SSIM", ".3f", 0),
    ("kl_weight", "KL weight", ".5f", 50),
    ("val/kl_nats", "KL nats", ".1f", 70),
    ("val/active_units", "active", "d", 80),
    ("images_per_second", "img/s", ".1f", 90),
    ("data_wait", "waiting", ".1%", 100),
)

DETECTOR_COLUMNS: tuple[Column, ...] = (
    ("epoch", "epoch", "d", 0),
    ("train/loss", "train loss", ".4f", 50),
    ("val/loss", "val loss", ".4f", 60),
    ("val/nme", "NME", ".2%", 0),
    ("val/iou", "IoU", ".3f", 0),
    ("val/ap", "AP", ".3f", 0),
    ("val/ap50", "AP50", ".3f", 70),
    ("lr", "rate", ".1e", 80),
    ("images_per_second", "img/s", ".1f", 90),
)

WORDS = {True: "met", False: "missed"}
STYLES: dict[str | bool | None, str] = {True: "green", False: "red"}
LEAST_TEXT = 24


def printable(text: str) -> str:
    """Text for a terminal: control characters and undecodable bytes, which a file's name may hold, become �."""
    return "".join(c if c.isprintable() else "�" for c in text)


def show_error(message: str) -> None:
    """One red line on standard error, however long."""
    line = Text(f"error: {printable(message)}", style="red")
    Console(stderr=True, soft_wrap=True, highlight=False).print(line)


class Laps(logging.Handler):
    """Shows on standard error each part of a start: its seconds, and those since `started`."""

    def __init__(self, started: float) -> None:
        super().__init__()
        self.started = self.last = started

    def emit(self, record: logging.LogRecord) -> None:
        now = time.perf_counter()
        line = f"start: {record.getMessage():<10} {now - self.last:6.2f} s, {now - self.started:6.2f} s in all"
        Console(stderr=True, soft_wrap=True, highlight=False).print(line)
        self.last = now


@contextmanager
def showing_start(started: float) -> Iterator[None]:
    """Shows what `earcli.startup.lap` says; `started` is by `time.perf_counter`."""
    handler = Laps(started)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(logging.NOTSET)


def show_table(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; in a pipe, cells two spaces apart. The last column is text, and left out where it has no room.

    Where the others have none either, each row becomes a block of lines.
    """
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            console.print("  ".join(cells).rstrip(), soft_wrap=True, highlight=False, markup=False)
        return
    taken = sum(max(map(len, column)) + 2 for column in zip(*(row[:-1] for row in (header, *rows)), strict=True))
    if taken > console.width:
        show_blocks(console, header, rows)
        return
    shown = len(header) if console.width - taken >= LEAST_TEXT else len(header) - 1
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for number, heading in enumerate(header[:shown]):
        last = number == len(header) - 1
        table.add_column(heading, no_wrap=not last, justify="left" if last or not number else "right")
    for row in rows:
        table.add_row(*map(Text, row[:shown]))
    console.print(table, highlight=False)


def show_blocks(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """For each row its first cell, and below it a line for every other one."""
    for first, *cells in rows:
        console.print(first, style="bold", soft_wrap=True, highlight=False, markup=False)
        for name, cell in zip(header[1:], cells, strict=True):
            if cell:
                console.print(f"  {name}: {cell}", soft_wrap=True, highlight=False, markup=False)


class ProgressBar:
    """A bar that goes away when it is done; nothing where the output is no terminal. Call it as a `Progress`."""

    def __init__(self, console: Console) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.task is None:
            self.task = self.bar.add_task(what, total=total)
        current = self.bar.tasks[0]
        if current.description != what or done < current.completed:
            self.bar.reset(self.task, description=what, total=total)
        self.bar.update(self.task, completed=done)


class Report:
    """Lines above a progress bar."""

    def __init__(self, console: Console, progress: ProgressBar) -> None:
        self.console, self.progress = console, progress

    def note(self, text: str) -> None:
        """Shows one line, not wrapped."""
        self.console.print(printable(text), soft_wrap=True, highlight=False, markup=False)


class TrainingReport(Report):
    """A row an epoch under a progress bar; plain `key value` lines where the output is no terminal."""

    def __init__(self, console: Console, progress: ProgressBar, columns: Sequence[Column] = COLUMNS) -> None:
        super().__init__(console, progress)
        self.columns = [column for column in columns if column[3] <= console.width or not console.is_terminal]
        self.header_shown = False

    def epoch(self, record: Mapping[str, float]) -> None:
        """Shows one epoch, by log key."""
        cells = [format(record[key], form) if key in record else "" for key, _, form, _ in self.columns]
        if not self.console.is_terminal:
            names = [heading.replace(" ", "_") for _, heading, _, _ in self.columns]
            line = "  ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True) if cell)
            self.console.print(line, soft_wrap=True, highlight=False)
            return
        table = Table(box=SIMPLE_HEAD, show_header=not self.header_shown, show_edge=False)
        for _, heading, _, _ in self.columns:
            # fixed widths, so that one row a table still makes columns
            table.add_column(heading, justify="right", width=max(len(heading), 7), no_wrap=True)
        table.add_row(*cells)
        self.console.print(table, highlight=False)
        self.header_shown = True


def show_parts(
    console: Console, header: Sequence[tuple[str, int]], rows: Sequence[tuple[str, Sequence[str | bool | None]]]
) -> None:
    """Rows under the part that each belongs to; plain lines where the output is no terminal.

    Args:
        header: heading, and the least terminal width that shows the column.
        rows: part, and a cell for each column; True is shown as met, False as missed, None as nothing.
    """
    if not console.is_terminal:
        for part, cells in rows:
            named = zip((name for name, _ in header), map(_word, cells), strict=True)
            line = "  ".join(f"{name} {word}".strip() for name, word in named if word)
            console.print(f"{part}: {line}" if part else line, soft_wrap=True, highlight=False, markup=False)
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown = [number for number, (_, width) in enumerate(header) if width <= console.width]
    for number in shown:
        table.add_column(header[number][0], justify="right" if number else "left")
    last = ""
    for part, cells in rows:
        if part != last:
            table.add_row(Text(part, style="bold"))
            last = part
        table.add_row(*(Text(_word(cells[number]), style=STYLES.get(cells[number], "")) for number in shown))
    console.print(table)


def _word(cell: str | bool | None) -> str:
    return WORDS[cell] if isinstance(cell, bool) else cell or ""

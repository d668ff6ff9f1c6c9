"""Console output: lines, a progress bar, the table of training, errors."""

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


class Column(NamedTuple):
    """A column of the training table.

    Attributes:
        key: The log key of its values.
        heading: The text above it.
        spec: The format of its values, such as `.2f`.
        min_width: The narrowest terminal, in characters, that shows the column.
    """

    key: str
    heading: str
    spec: str
    min_width: int = 0


TEACHER_COLUMNS = (
    Column("epoch", "epoch", "d"),
    Column("train/loss", "train loss", ".4f", 45),
    Column("val/loss", "val loss", ".4f", 60),
    Column("val/psnr", "PSNR dB", ".2f"),
    Column("val/ssim", "SSIM", ".3f"),
    Column("val/psnr_deep", "deep dB", ".2f", 110),
    Column("kl_weight", "KL weight", ".5f", 50),
    Column("val/kl_nats", "KL nats", ".1f", 70),
    Column("val/active_units", "active", "d", 80),
    Column("images_per_second", "img/s", ".1f", 90),
    Column("data_wait", "waiting", ".1%", 100),
)
DETECTOR_COLUMNS = (
    Column("epoch", "epoch", "d"),
    Column("train/loss", "train loss", ".4f", 50),
    Column("val/loss", "val loss", ".4f", 60),
    Column("val/nme", "NME", ".2%"),
    Column("val/iou", "IoU", ".3f"),
    Column("val/ap", "AP", ".3f"),
    Column("val/ap50", "AP50", ".3f", 70),
    Column("lr", "lr", ".1e", 80),
    Column("images_per_second", "img/s", ".1f", 90),
)


def is_main_process() -> bool:
    """Whether this is the process with global rank 0, by the variables that torchrun, Lightning or SLURM set."""
    ranks = ("RANK",) if "RANK" in os.environ else ("NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def open_console(*, stderr: bool = False) -> Console:
    """A console on standard output or error; quiet in every process of a distributed run but the main one."""
    return Console(stderr=stderr, quiet=not is_main_process())


def printable(text: str) -> str:
    """Replaces control characters and undecodable bytes, which file names may contain, by �.

    >>> printable("ear\\x1b[31m.png")
    'ear�[31m.png'
    """
    return "".join(c if c.isprintable() else "�" for c in text)


def print_line(text: str, console: Console | None = None) -> None:
    """Prints one line, neither wrapped nor highlighted."""
    (console or open_console()).print(printable(text), soft_wrap=True, highlight=False, markup=False)


def print_error(message: str) -> None:
    """Prints one red line on standard error, without wrapping it."""
    line = Text(f"error: {printable(message)}", style="red")
    Console(stderr=True, soft_wrap=True, highlight=False).print(line)


class ConsoleReporter:
    """A `Reporter` that prints lines above a progress bar and a table row for each epoch.

    If the output is not a terminal, there is no bar, and an epoch is a line of `key value` pairs.

    Args:
        console: The console to print to.
        rewrite: Applied to the text of notes, such as to show parameters as flags.

    Example:
        >>> import sys
        >>> from rich.console import Console
        >>> with ConsoleReporter(Console(file=sys.stdout)) as reporter:
        ...     reporter.note("20 images without an ear are skipped")
        20 images without an ear are skipped
    """

    def __init__(self, console: Console, rewrite: Callable[[str], str] = str) -> None:
        self.console, self.rewrite = console, rewrite
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
        self.header_shown = False

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def note(self, text: str) -> None:
        """Prints one line above the bar."""
        print_line(self.rewrite(text), self.console)

    def progress(self, activity: str, done: int, total: int) -> None:
        """Moves the bar; a new activity, or a smaller number than before, restarts it."""
        if self.task is None:
            self.task = self.bar.add_task(activity, total=total)
        current = self.bar.tasks[0]
        if current.description != activity or done < current.completed:
            self.bar.reset(self.task, description=activity, total=total)
        self.bar.update(self.task, completed=done)

    def epoch(self, record: Mapping[str, float]) -> None:
        """Prints a row of the training table."""
        columns = self._columns(record)
        cells = [format(record[c.key], c.spec) if c.key in record else "" for c in columns]
        if not self.console.is_terminal:
            pairs = zip(columns, cells, strict=True)
            print_line("  ".join(f"{c.heading.replace(' ', '_')} {cell}" for c, cell in pairs if cell), self.console)
            return
        table = Table(box=SIMPLE_HEAD, show_header=not self.header_shown, show_edge=False)
        for column in columns:
            # each row is a table of its own: fixed widths align them
            table.add_column(column.heading, justify="right", width=max(len(column.heading), 7), no_wrap=True)
        table.add_row(*cells)
        self.console.print(table, highlight=False)
        self.header_shown = True

    def _columns(self, record: Mapping[str, float]) -> Sequence[Column]:
        columns = TEACHER_COLUMNS if "val/psnr" in record else DETECTOR_COLUMNS
        if not self.console.is_terminal:
            return columns
        return [column for column in columns if column.min_width <= self.console.width]

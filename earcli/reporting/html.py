"""One HTML file that holds all it shows: a report to send to somebody."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from earcli.files import atomic_write


@dataclass(frozen=True)
class ReportTable:
    """A table under a heading. A cell that is a bool is shown as met or missed, None as nothing."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | bool | None]]


@dataclass(frozen=True)
class ReportPicture:
    """A PNG file under a heading, with a sentence on what it shows."""

    title: str
    caption: str
    path: Path

    @property
    def data(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()


def write_report(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    notes: Sequence[str],
    tables: Sequence[ReportTable],
    pictures: Sequence[ReportPicture],
) -> None:
    """Writes the report, whole or not at all; everything in it is escaped.

    Args:
        facts: what was measured, on what, by what.
        notes: sentences that should not be missed.

    Raises:
        RunError: it cannot be written.
    """
    places = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=places, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.get_template("report.html.jinja")
    text = template.render(title=title, facts=facts, notes=notes, tables=tables, pictures=pictures)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

"""A report as one self-contained HTML file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from earcli.files import atomic_write


@dataclass(frozen=True)
class ReportTable:
    """A table under a heading. A bool is shown as met or missed, None as an empty cell."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | bool | None]]


@dataclass(frozen=True)
class ReportImage:
    """A PNG file under a heading, with a caption."""

    title: str
    caption: str
    path: Path

    @property
    def data_url(self) -> str:
        """The file as a `data:` URL."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()


def write_report(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    notes: Sequence[str],
    tables: Sequence[ReportTable],
    images: Sequence[ReportImage],
) -> None:
    """Writes a report atomically; all text in it is escaped.

    Args:
        path: The HTML file.
        title: Title and main heading.
        facts: What was measured, on what data.
        notes: Sentences that are highlighted.
        tables: Shown above the images.
        images: Embedded in the file.

    Raises:
        RunError: The file cannot be written.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.get_template("report.html.jinja")
    text = template.render(title=title, facts=facts, notes=notes, tables=tables, images=images)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

"""Markdown that shows any text as it is."""

import re
from collections.abc import Iterable, Sequence

from earcli.reporting.console import printable

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&$])")


def escape(text: object) -> str:
    """Text that Markdown shows as it is; control characters and undecodable bytes become �."""
    return SPECIAL.sub(r"\\\1", printable(str(text)))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the first column is to the left, the others to the right."""
    marks = ["---", *["--:"] * (len(header) - 1)]
    lines = [header, marks, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

"""Results of the self-test and of benchmarks, on the console and in files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from earcli.files import atomic_write
from earcli.reporting.tables import markdown_table


class Check(NamedTuple):
    """A measurement and its expected value; `passed` is None if none is expected, as for a speed."""

    part: str
    name: str
    measured: str
    expected: str
    passed: bool | None


class Table(NamedTuple):
    """A header and the rows below it."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Benchmark:
    """The result of a benchmark; `result["images_per_second"]` is one of its figures.

    Attributes:
        title: What was measured, and on which machine, in one line.
        figures: Plain values by name.
        tables: The figures as text.
        folder: Folder of the report, if it was written.
    """

    title: str
    figures: dict[str, Any]
    tables: list[Table]
    folder: Path | None = None

    def __getitem__(self, name: str) -> Any:
        return self.figures[name]

    def to_dict(self) -> dict[str, Any]:
        return self.figures

    def write(self, name: str) -> None:
        """Writes `NAME.json` and `NAME.md` to the folder, if there is one.

        Raises:
            RunError: The folder cannot be written.
        """
        if self.folder is None:
            return
        markdown = "\n".join([self.title + "\n", *(markdown_table(*table) for table in self.tables)])
        for suffix, text in ((".json", json.dumps(self.figures, indent=2)), (".md", markdown)):
            with atomic_write(self.folder / (name + suffix)) as path:
                path.write_text(text, encoding="utf-8")

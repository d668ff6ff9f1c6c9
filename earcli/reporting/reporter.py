"""Who is told how work goes. Tasks report here and print nothing themselves."""

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """What a task tells its caller while it runs."""

    def note(self, text: str) -> None:
        """Something worth a line: what was read, skipped or written."""

    def progress(self, activity: str, done: int, total: int) -> None:
        """How far an activity is."""

    def epoch(self, record: Mapping[str, float]) -> None:
        """The figures of one epoch of training, by log key."""


class SilentReporter:
    """A reporter that drops everything: the default of every task."""

    def __repr__(self) -> str:
        return "SILENT"

    def note(self, text: str) -> None: ...

    def progress(self, activity: str, done: int, total: int) -> None: ...

    def epoch(self, record: Mapping[str, float]) -> None: ...


SILENT = SilentReporter()

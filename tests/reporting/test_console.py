"""Tests of `earcli/reporting/console.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from earcli.reporting.console import TEACHER_COLUMNS, ConsoleReporter, is_main_process, print_line
from earcli.reporting.tables import print_table


@pytest.mark.parametrize(
    ("environment", "reports"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"SLURM_PROCID": "8", "SLURM_LOCALID": "0"}, False),
        ({"SLURM_PROCID": "0"}, True),
    ],
)
def test_one_process_of_all_machines_reports(
    environment: dict[str, str], reports: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_main_process() is reports


def screen(tmp_path: Path, width: int, show: Callable[[Console], None]) -> list[str]:
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        show(Console(file=file, width=width, force_terminal=True, color_system=None))
        file.seek(0)
        return file.read().splitlines()


ROWS = [("leak-copy", "18", "0", "12", "yes", "the same picture"), ("foreign", "7", "11", "3", "", "no picture")]


HEADER = ("found", "train_teacher", "val_teacher", "bad", "harmful", "meaning")


@pytest.mark.parametrize("width", [20, 40])
def test_no_figure_is_cut_in_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    def epoch(console: Console) -> None:
        record = {column.key: 1234 if column.spec == "d" else 0.125 for column in TEACHER_COLUMNS}
        ConsoleReporter(console).epoch(record)

    table = screen(tmp_path, width, lambda console: print_table(console, HEADER, ROWS))
    assert {"  train_teacher: 18", "  val_teacher: 11", "  bad: 12", "  harmful: yes"} <= set(table)
    assert {"leak-copy", "  val_teacher: 0", "foreign"} <= set(table)
    if width == 40:
        lines = screen(tmp_path, width, epoch)
        assert max(map(len, lines)) <= width
        assert all(text in "\n".join(lines) for text in ("epoch", "1234", "PSNR dB", "0.12", "SSIM", "0.125"))
        assert "…" not in "\n".join(lines)
    wide = screen(tmp_path, 100, lambda console: print_table(console, HEADER, ROWS))
    assert any("leak-copy" in line and "18" in line and "yes" in line for line in wide)


def test_a_note_is_one_line_whatever_name_it_holds(tmp_path: Path) -> None:
    lines = screen(tmp_path, 40, lambda console: print_line("bad\nname \udcff", console))
    assert lines == ["bad�name �"]

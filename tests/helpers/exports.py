"""Exporting a teacher from the command line."""

from pathlib import Path

from running import ear


def exported(teacher: Path, *options: str) -> Path:
    result = ear("export", "--checkpoint", teacher, *options)
    assert result.exit_code == 0, result.output
    return teacher.parents[1] / "export"

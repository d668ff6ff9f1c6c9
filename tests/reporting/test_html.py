"""Tests of `earcli/reporting/html.py`."""

from pathlib import Path

from earcli.reporting.html import ReportTable, write_report

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def test_a_report_shows_hostile_names_as_text(tmp_path: Path) -> None:
    table = ReportTable(SCRIPT, [SCRIPT], [[SCRIPT, True, None]])
    write_report(tmp_path / "r.html", SCRIPT, {SCRIPT: SCRIPT}, [SCRIPT], [table], [])
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") == 8
    assert "49" not in page.split("<body>")[1]

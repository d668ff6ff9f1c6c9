"""Tests of `earcli/reporting/markdown.py`."""

from earcli.reporting.markdown import escape

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def test_markdown_shows_hostile_names_as_text() -> None:
    for name in (SCRIPT, "[a](javascript:b)", "`x`", "| a | b", "a\nb\x1b[2J"):
        shown = escape(name)
        assert "\n" not in shown
        assert "\x1b" not in shown
        assert not any(f"{mark}" in shown.replace(f"\\{mark}", "") for mark in "<>[]`|")

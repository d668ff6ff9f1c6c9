"""Tests of `earcli/curation/findings.py`."""

from running import ROOT

from earcli.curation.findings import KINDS


def test_every_kind_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    for kind, about in KINDS.items():
        assert f"| `{kind}` | {'yes' if about.harmful else ''}".rstrip() in guide, kind

"""Tests of `earcli/curation/subjects.py`."""

import pytest

from earcli.curation.subjects import parse_subject_rule
from earcli.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "path", "subject"),
    [
        ("none", "007/x.jpg", ""),
        ("folder", "a/007/x.jpg", "007"),
        ("folder", "x.jpg", ""),
        (r"(\d+)_\d+\.jpg", "a/012_3.jpg", "012"),
        (r"^(\w+)/", "kim/left/1.jpg", "kim"),
        (r"(\d+)_", "a.jpg", ""),
        (r"(x)?\.jpg", "a.jpg", ""),
    ],
)
def test_subjects_come_from_folders_or_names_when_asked(text: str, path: str, subject: str) -> None:
    assert parse_subject_rule(text)(path) == subject


@pytest.mark.parametrize(("text", "message"), [("(", "or a regular expression"), ("abc", "has no group")])
def test_a_subject_pattern_that_cannot_work_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_subject_rule(text)

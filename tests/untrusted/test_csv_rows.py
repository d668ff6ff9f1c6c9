"""Tests of `earcli/untrusted/csv_rows.py`."""

import csv
import io

import pytest

from earcli.untrusted.csv_rows import MAX_CHARACTERS, BoundedRows


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_that_of_the_header(separator: str) -> None:
    rows = BoundedRows(io.StringIO(f"a{separator}b\n\n1{separator}2\n"), 9)
    assert rows.header == ["a", "b"]
    assert list(rows) == [(3, ["1", "2"])]


def test_rows_are_limited_in_number_and_length() -> None:
    with pytest.raises(csv.Error, match="more than 2 rows"):
        list(BoundedRows(io.StringIO("a\n" * 5), 2))
    with pytest.raises(csv.Error, match="a row of more than"):
        list(BoundedRows(io.StringIO('a\n"' + "x" * (MAX_CHARACTERS + 1)), 9))

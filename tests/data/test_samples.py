"""Tests of `earcli/data/samples.py`."""

import numpy as np

from earcli.data.samples import WHOLE_IMAGE, SourceContents


def test_contents_start_empty_and_are_not_shared() -> None:
    first, second = SourceContents(), SourceContents()
    first.notes.append("scaled")
    assert not second.notes
    assert np.isnan(WHOLE_IMAGE).all()

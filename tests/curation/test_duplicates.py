"""Tests of `earcli/curation/duplicates.py`."""

from pathlib import Path

import numpy as np
from planting import CHANGES, load

from earcli.curation.duplicates import find_near_duplicates, label_groups
from earcli.curation.scan import examine

WHOLE = np.full(4, np.nan)


def test_ears_that_look_the_same_are_grouped_and_no_others(drawn: Path, tmp_path: Path) -> None:
    paths = sorted((drawn / "images").iterdir())[:20]
    for name, change in CHANGES.items():
        change(load(paths[4])).save(tmp_path / f"{name}.jpg", quality=50)
    facts = [examine(path, WHOLE) for path in [*paths, *tmp_path.iterdir()]]
    groups = label_groups(len(facts), [find_near_duplicates(facts)])
    assert set(groups[20:]) == {groups[4]}
    assert len(set(groups[:20])) == 20
    assert len(find_near_duplicates([])) == 0

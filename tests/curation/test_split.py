"""Tests of `earcli/curation/split.py`."""

import numpy as np
import pytest

from earcli.curation.split import split_groups
from earcli.errors import DataError


def test_a_split_keeps_groups_together_depends_on_the_seed_and_has_about_the_given_fraction() -> None:
    groups = np.random.default_rng(0).integers(0, 60, 1000)
    is_validation = split_groups(groups, 0.8, 3)
    assert not set(groups[is_validation]) & set(groups[~is_validation])
    assert abs(is_validation.mean() - 0.2) < 0.02
    np.testing.assert_array_equal(is_validation, split_groups(groups, 0.8, 3))
    assert (is_validation != split_groups(groups, 0.8, 4)).any()
    assert split_groups(np.array([0, 0, 1]), 0.9, 0).tolist() == [False, False, True]
    with pytest.raises(DataError, match="All 3 ears are related"):
        split_groups(np.zeros(3, int), 0.5, 0)

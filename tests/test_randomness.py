"""Tests of `earcli/randomness.py`."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from earcli.randomness import SharedGenerator, draw

CPU = torch.device("cpu")


@pytest.mark.parametrize("sampler", [torch.rand, torch.randn])
@pytest.mark.parametrize(("total", "world"), [(6, 2), (7, 3), (2, 3)])
def test_the_shares_of_all_ranks_are_the_numbers_of_one_process(
    sampler: Callable[..., Tensor], total: int, world: int
) -> None:
    alone = torch.Generator().manual_seed(5)
    shared = [SharedGenerator(CPU, total, rank, world).manual_seed(5) for rank in range(world)]
    for _ in range(2):  # the second time, all generators must have moved on by the same amount
        expected = sampler((total, 3), generator=alone)
        for rank, generator in enumerate(shared):
            rows = len(range(rank, total, world))
            assert torch.equal(draw(sampler, (rows, 3), generator), expected[rank::world])


def test_without_a_shared_generator_the_sampler_draws_as_ever() -> None:
    expected = torch.rand(2, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(draw(torch.rand, (2, 3), torch.Generator().manual_seed(1)), expected)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        assert torch.equal(draw(torch.rand, (2, 3), None), expected)


@pytest.mark.parametrize("generator", [None, SharedGenerator(CPU, 4, 0, 2)])
def test_options_reach_the_sampler(generator: torch.Generator | None) -> None:
    assert draw(torch.rand, (2, 1), generator, dtype=torch.float64).dtype == torch.float64

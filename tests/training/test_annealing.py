"""The KL weight over time, against a table worked out by hand."""

import pytest

from earcli.training.annealing import Annealing


def weights(schedule: Annealing, psnrs: list[float], steps_per_epoch: int) -> list[float]:
    """The weight in each step of a run whose epochs end with these validation PSNRs."""
    state, step, result = schedule.initial_state(), 0, []
    for psnr in psnrs:
        for _ in range(steps_per_epoch):
            result.append(schedule.weight_at(state, step))
            step += 1
        state = schedule.next_state(state, psnr, step)
    return result


@pytest.mark.parametrize(
    ("strategy", "ramp_steps", "psnrs", "expected"),
    [
        ("threshold", 4, [20, 23.9, 22], [0, 0, 0, 0, 0, 0]),
        ("threshold", 4, [20, 24.0, 22, 30, 30], [0, 0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1]),
        ("threshold", 4, [25, 10, 10], [0, 0, 0, 0.25, 0.5, 0.75]),
        ("threshold", 0, [1, 1], [1, 1, 1, 1]),
        ("epoch", 4, [1, 1, 1], [0, 0.25, 0.5, 0.75, 1, 1]),
        ("epoch", 0, [1, 1], [1, 1, 1, 1]),
    ],
)
def test_the_weight_follows_the_table(
    strategy: str, ramp_steps: int, psnrs: list[float], expected: list[float]
) -> None:
    schedule = Annealing(1.0, strategy, 24.0, ramp_steps)  # type: ignore[arg-type]
    assert weights(schedule, psnrs, 2) == pytest.approx(expected)


def test_the_final_weight_scales_the_ramp() -> None:
    schedule = Annealing(0.01, "epoch", 24.0, 10)
    assert schedule.weight_at(0, 5) == pytest.approx(0.005)
    assert schedule.weight_at(0, 500) == 0.01

"""The weight of the KL term over time: a pure function of schedule, state and step."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Annealing:
    """A schedule: 0, then a linear ramp, then `weight`.

    The state is the step at which the ramp started, or None before that.

    Attributes:
        weight: The final weight.
        strategy: `threshold` starts the ramp once validation PSNR reaches `threshold_psnr`, `epoch` at step 0.
        threshold_psnr: In dB.
        ramp_steps: Optimizer steps of the ramp; 0 uses the final weight from the start.

    >>> Annealing(0.1, "epoch", 0.0, ramp_steps=10).weight_at(started=0, step=5)
    0.05
    """

    weight: float
    strategy: Literal["threshold", "epoch"]
    threshold_psnr: float
    ramp_steps: int

    def initial_state(self) -> int | None:
        """The state before the first step."""
        return 0 if self.strategy == "epoch" or self.ramp_steps == 0 else None

    def weight_at(self, started: int | None, step: int) -> float:
        """The weight of the KL term in optimizer step `step`, counted from 0."""
        if started is None:
            return 0.0
        if self.ramp_steps == 0:
            return self.weight
        return self.weight * min(1.0, (step - started) / self.ramp_steps)

    def next_state(self, started: int | None, psnr: float, step: int) -> int | None:
        """The state after a validation with a PSNR of `psnr` dB, after `step` optimizer steps."""
        return step if started is None and psnr >= self.threshold_psnr else started

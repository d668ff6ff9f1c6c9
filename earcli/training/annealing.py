"""The weight of the KL term over time: a pure function of schedule, state and step."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Annealing:
    """A schedule: 0, then a linear ramp, then `weight`.

    Attributes:
        weight: the final weight.
        strategy: `threshold` starts the ramp once validation PSNR reaches `threshold_psnr`, `epoch` at step 0.
        threshold_psnr: in dB.
        ramp_steps: optimizer steps that the ramp takes; 0 means the final weight from the start.
    """

    weight: float
    strategy: Literal["threshold", "epoch"]
    threshold_psnr: float
    ramp_steps: int

    def first_state(self) -> int | None:
        """The state is the step at which the ramp started, None while it has not."""
        return 0 if self.strategy == "epoch" or self.ramp_steps == 0 else None

    def weight_at(self, started: int | None, step: int) -> float:
        """The weight of the KL term in the optimizer step number `step`, counted from 0."""
        if started is None:
            return 0.0
        if self.ramp_steps == 0:
            return self.weight
        return self.weight * min(1.0, (step - started) / self.ramp_steps)

    def next_state(self, started: int | None, psnr: float, step: int) -> int | None:
        """The state after a validation that gave `psnr` dB once `step` optimizer steps were done."""
        return step if started is None and psnr >= self.threshold_psnr else started

"""How a run goes on with another number of processes: the same pictures in every step, more or fewer at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from earcli.config.teacher import AnyRunConfig
from earcli.errors import ConfigError

Config = TypeVar("Config", bound=AnyRunConfig)


@dataclass(frozen=True)
class Processes:
    """How many processes a run has.

    Attributes:
        first: when it began; an epoch is as many batches of so many processes as the pictures fill.
        before: when its checkpoint was written.
        now: in this session.
    """

    first: int
    before: int
    now: int

    @classmethod
    def of(cls, saved: Mapping[str, Any] | None, now: int) -> Self:
        """Those of a checkpoint's part `ear`; None stands for a new run."""
        if saved is None:
            return cls(now, now, now)
        return cls(saved.get("first_processes", 1), saved.get("processes", 1), now)

    def batches(self, at_first: int) -> int:
        """The batches that each process has where it had `at_first` when the run began.

        Raises:
            ConfigError: they cannot be dealt out evenly.
        """
        batches, rest = divmod(at_first * self.first, self.now)
        if rest:
            raise ConfigError(
                f"An epoch of this run has {at_first * self.first} batches, which {_count(self.now)} cannot share. "
                "Give --devices and --num-nodes as they were."
            )
        return batches

    def settle(self, config: Config, note: Callable[[str], None]) -> Config:
        """The configuration with the `accumulate` that keeps the pictures of a step; `note` hears of a change.

        Raises:
            ConfigError: a step's batches cannot be dealt out evenly.
        """
        if self.now == self.before:
            return config
        batches = config.accumulate * self.before
        pictures = f"{batches * config.batch_size} pictures a step"
        if batches % self.now:
            fitting = ", ".join(str(number) for number in range(1, batches + 1) if batches % number == 0)
            raise ConfigError(
                f"The run has {batches} batches, {pictures}, on {_count(self.before)}, which {_count(self.now)} cannot "
                f"share. Resume it with a number of devices in all out of {fitting}."
            )
        settled = replace(config, accumulate=batches // self.now)
        kept = f"--accumulate {settled.accumulate} keeps {pictures}"
        note(f"resumed on {_count(self.now)} instead of {self.before}: {kept}")
        return settled

    def convert(self, loops: dict[str, Any]) -> None:
        """Turns the batches that Lightning's loops have counted into those of each process now, in place."""
        progress = loops["fit_loop"]["epoch_loop.batch_progress"]
        for counter in (progress["total"], progress["current"]):
            # in mid-epoch a checkpoint is written while the last batch is processed but not yet complete
            pending = counter["processed"] - counter["completed"]
            for name in ("ready", "started", "processed"):
                counter[name] = counter[name] * self.before // self.now
            counter["completed"] = counter["processed"] - pending


def _count(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"

"""The errors that a user can cause and mend. Each message says what was found, what was wanted, what to do."""

from pathlib import Path


class EarError(Exception):
    """Base of every error that ends a command with one line and exit code 1.

    Example:
        >>> import earcli
        >>> try:
        ...     earcli.search("nowhere.npz", ["ear.jpg"])
        ... except earcli.EarError as error:
        ...     print(type(error).__name__)
        DataError
    """


class ConfigError(EarError):
    """A knob has a value that it cannot have."""


class ManifestError(EarError):
    """A manifest is missing, malformed, or carries code."""


class UnknownFormatError(ManifestError):
    """A file is in no format of annotations that `ear` reads."""


class DataError(EarError):
    """The pictures that a manifest names cannot be used."""


class LabelError(DataError):
    """A file that looks like labels cannot be used, so that its pictures may be labeled otherwise than it seems."""


class WeightsError(EarError):
    """Pretrained weights are missing or do not fit."""


class CheckpointError(EarError):
    """A checkpoint is missing, damaged, foreign, or carries code."""


class DamagedError(CheckpointError):
    """A checkpoint is not as it was written: cut off, changed, or no checkpoint at all."""


class RunError(EarError):
    """A run folder cannot be made, written or found."""


class TrainingError(EarError):
    """Training cannot go on: the loss is not finite, or memory ran out."""


class ExportError(EarError):
    """An exported file does not compute what its checkpoint computes, or cannot be made."""


class SelfTestError(EarError):
    """A check of the installation failed."""


class InterruptedTraining(Exception):  # noqa: N818 - not an error: the run can be resumed
    """A signal stopped training.

    Attributes:
        signal_number: The signal.
        last: The checkpoint to resume from; None if there is none yet.

    Example:
        >>> str(InterruptedTraining(15, last=None))
        'stopped by signal 15'
    """

    def __init__(self, signal_number: int, last: Path | None) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number, self.last = signal_number, last

    def __reduce__(self) -> tuple[type["InterruptedTraining"], tuple[int, Path | None]]:
        return type(self), (self.signal_number, self.last)  # a worker process raises it to its parent


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "could not create a primitive", "failed to map segment")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: in Python, in torch on a CPU or GPU, or while a library was being loaded."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)

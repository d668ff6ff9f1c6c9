"""Tests of `earcli/errors.py`."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from earcli import errors
from earcli.errors import DamagedError, EarError, InterruptedTraining, is_out_of_memory

TOO_MANY = 2**55


def test_every_error_that_a_user_can_mend_is_caught_as_one() -> None:
    found = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert {item.__name__ for item in found if not issubclass(item, EarError)} == {"InterruptedTraining"}
    with pytest.raises(errors.CheckpointError, match="cut off"):
        raise DamagedError("cut off")


def test_a_stop_says_which_signal_it_was_and_where_to_go_on() -> None:
    stopped = InterruptedTraining(15, Path("runs/last.ckpt"))
    assert str(stopped) == "stopped by signal 15"
    assert (stopped.signal_number, stopped.last) == (15, Path("runs/last.ckpt"))


def test_a_stop_passes_from_a_worker_process_to_its_parent() -> None:
    stopped = pickle.loads(pickle.dumps(InterruptedTraining(15, Path("runs/last.ckpt"))))
    assert (str(stopped), stopped.signal_number, stopped.last) == ("stopped by signal 15", 15, Path("runs/last.ckpt"))


def test_an_allocation_that_fails_is_known_as_one() -> None:
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(TOO_MANY, np.uint8)
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(TOO_MANY, dtype=torch.uint8)
    assert is_out_of_memory(of_numpy.value)
    assert is_out_of_memory(of_torch.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert is_out_of_memory(ImportError("libcublas.so: failed to map segment from shared object"))


def test_another_error_is_no_failed_allocation() -> None:
    with pytest.raises(RuntimeError) as mismatch:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not is_out_of_memory(mismatch.value)
    assert not is_out_of_memory(OSError(28, "No space left on device"))

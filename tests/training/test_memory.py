"""Tests of `earcli/training/memory.py`."""

import sys
from mmap import mmap

import pytest
import torch

from earcli.training.memory import peak_memory, reset_peak_memory, resident_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems report less")
CPU = torch.device("cpu")
MIB = 2**20
SIZE = 64 * MIB
PAGE = 4096


def written() -> mmap:
    """Memory in use that is not a piece of what earlier tests have freed."""
    memory = mmap(-1, SIZE)
    memory[::PAGE] = b"\1" * (SIZE // PAGE)
    return memory


def test_memory_in_use_is_counted_and_memory_given_back_is_not() -> None:
    before = resident_memory(CPU)
    memory = written()
    assert resident_memory(CPU) - before == pytest.approx(SIZE, abs=4 * MIB)
    memory.close()
    assert resident_memory(CPU) == pytest.approx(before, abs=4 * MIB)


def test_the_peak_stays_until_it_is_reset() -> None:
    reset_peak_memory(CPU)
    before = peak_memory(CPU)
    assert before == pytest.approx(resident_memory(CPU), abs=4 * MIB)
    written().close()
    assert peak_memory(CPU) >= before + SIZE - 4 * MIB
    reset_peak_memory(CPU)
    assert peak_memory(CPU) == pytest.approx(resident_memory(CPU), abs=4 * MIB)

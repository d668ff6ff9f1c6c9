"""How this process asks the system for memory, and how much it holds."""

import ctypes
import re
import sys
from pathlib import Path

import torch

# parameters of mallopt, from glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def retain_freed_memory() -> None:
    """Lets glibc hand memory that one training step freed to the next one, instead of giving it back to the system.

    By default every tensor above 32 MiB is mapped anew, and the system clears its pages one by one as they are
    touched. Elsewhere than on glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 64 * 2**20)


def resident_memory(device: torch.device) -> int:
    """Bytes that tensors hold on a CUDA device, or that this whole process holds on the CPU; 0 on Windows."""
    return torch.cuda.memory_allocated() if device.type == "cuda" else _status("VmRSS")


def peak_memory(device: torch.device) -> int:
    """The most that `resident_memory` has been since `restart_peak`."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else _status("VmHWM")


def restart_peak(device: torch.device) -> None:
    """Forgets the peak so far; elsewhere than on Linux and CUDA it cannot be forgotten."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _status(name: str) -> int:
    if sys.platform == "win32":  # no way to ask without another library
        return 0
    if sys.platform != "linux":  # the peak is all that other systems tell, macOS in bytes
        import resource  # which Windows does not have

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0

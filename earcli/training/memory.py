"""Memory of this process: allocator settings and usage."""

import ctypes
import re
import sys
from pathlib import Path

import torch

# parameters of mallopt, from glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def retain_freed_memory() -> None:
    """Makes glibc keep freed memory for the next training step instead of returning it to the system.

    By default every tensor above 32 MiB is a new mapping, whose pages the kernel clears on first access. Does nothing
    without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 64 * 2**20)


def resident_memory(device: torch.device) -> int:
    """Bytes of tensors on a CUDA device, else the resident set size of this process; 0 on Windows."""
    return torch.cuda.memory_allocated() if device.type == "cuda" else _proc_status("VmRSS")


def peak_memory(device: torch.device) -> int:
    """The maximum of `resident_memory` since `reset_peak_memory`."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else _proc_status("VmHWM")


def reset_peak_memory(device: torch.device) -> None:
    """Resets the peak; has no effect on systems other than Linux, except on CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _proc_status(name: str) -> int:
    if sys.platform == "win32":  # there is no way without another library
        return 0
    if sys.platform != "linux":  # other systems report the peak only, macOS in bytes
        import resource  # which Windows does not have

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    match = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0

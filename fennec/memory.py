"""Peak memory of a piece of work: of the GPU it runs on, or of the process."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

# Of the devices whose rates are published.
DEVICE_GB = {"rtx3090": 24, "rtx4090": 24, "rtx5090": 32, "rtx-pro-6000-maxq": 96}


def forget_peak(device: str) -> None:
    """Start again; where the system cannot (outside Linux), the peak stays that of the process so far."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes(device: str) -> float:
    """Most memory in use since, in megabytes."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

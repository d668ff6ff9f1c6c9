"""AdamW in the memory layout of the convolutions."""

from typing import Any

import torch
from torch import Tensor


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` without copies of channels-last tensors, which its fused step on a CPU would make contiguous.

    AdamW is elementwise (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2), so weight, gradient and moments
    can be permuted to the order that they have in memory.
    """

    def _init_group(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], *moments_and_steps: list[Tensor]
    ) -> Any:
        result = super()._init_group(group, params, grads, *moments_and_steps)  # type: ignore[no-untyped-call]
        exp_avgs, exp_avg_sqs = moments_and_steps[:2]
        for index, group_tensors in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True)):
            if all(t.ndim == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in group_tensors):
                for tensors in (params, grads, exp_avgs, exp_avg_sqs):
                    tensors[index] = tensors[index].detach().permute(0, 2, 3, 1)
        return result

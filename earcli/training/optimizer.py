"""AdamW in the layout that the convolutions use."""

from typing import Any

import torch
from torch import Tensor


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`, whose fused step on a CPU would first copy every channels-last tensor into another order.

    AdamW works element by element (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2), so it may as well see
    weight, gradient and moments in the order that they have in memory.
    """

    def _init_group(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], *moments_and_steps: list[Tensor]
    ) -> Any:
        result = super()._init_group(group, params, grads, *moments_and_steps)  # type: ignore[no-untyped-call]
        exp_avgs, exp_avg_sqs = moments_and_steps[:2]
        for index, together in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True)):
            if all(t.ndim == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in together):
                for tensors in (params, grads, exp_avgs, exp_avg_sqs):
                    tensors[index] = tensors[index].detach().permute(0, 2, 3, 1)
        return result

"""3×3 convolutions of small maps as one matrix product, several times faster to train on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

MAX_POSITIONS = 16
"""Output positions up to which the product is faster; measured in `docs/benchmarks.md`."""


class Conv3x3(nn.Conv2d):
    """`nn.Conv2d` with a 3×3 kernel and padding 1 that, in training on a CPU, is a matrix product for small maps.

    oneDNN's convolutions tile over positions. A 4×4 or 2×2 map has too few of them, so its gradients run at a tenth to
    a half of the speed of a matrix product with the same weights.

    >>> Conv3x3(4, 8, 3, padding=1, bias=False)(torch.zeros(2, 4, 4, 4)).shape
    torch.Size([2, 8, 4, 4])
    """

    @classmethod
    def replace_in(cls, module: nn.Module) -> None:
        """Changes the class of all suitable 3×3 convolutions of `module`; weights and names stay the same."""
        for child in module.modules():
            suitable = (
                type(child) is nn.Conv2d and child.bias is None and child.groups == 1 and child.dilation == (1, 1)
            )
            if suitable and child.kernel_size == (3, 3) and child.padding == (1, 1):
                child.__class__ = cls

    def forward(self, x: Tensor) -> Tensor:
        stride = int(self.stride[0])
        positions = ((x.shape[2] - 1) // stride + 1) * ((x.shape[3] - 1) // stride + 1)
        if self.training and x.device.type == "cpu" and positions <= MAX_POSITIONS:
            if torch.is_autocast_enabled("cpu"):
                x = x.to(torch.get_autocast_dtype("cpu"))
            return conv3x3_as_product(x, self.weight, stride)
        return super().forward(x)


def conv3x3_as_product(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Equals `F.conv2d(x, weight, stride=stride, padding=1)` in the dtype of `x`; differentiable once.

    Args:
        x: (B, C, H, W).
        weight: (O, C, 3, 3), of any floating dtype.
        stride: Of both dimensions.
    """
    result: Tensor = _Product.apply(x, weight, stride)
    return result


class _Product(torch.autograd.Function):
    """im2col, a matrix product, and their transposes; channels last throughout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        batch, channels, height, width = x.shape
        rows, columns = (height - 1) // stride + 1, (width - 1) // stride + 1
        padded = x.new_zeros(batch, height + 2, width + 2, channels)
        padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
        b, h, w, c = padded.stride()
        windows = padded.as_strided((batch, rows, columns, 3, 3, channels), (b, stride * h, stride * w, h, w, c))
        windows = windows.reshape(-1, 9 * channels)  # (B·rows·columns, 9·C)
        matrix = weight.to(x.dtype).permute(0, 2, 3, 1).reshape(len(weight), -1)  # (O, 9·C)
        ctx.save_for_backward(windows, matrix)
        ctx.shape, ctx.stride = x.shape, stride
        return (windows @ matrix.T).view(batch, rows, columns, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        windows, matrix = ctx.saved_tensors
        (batch, channels, height, width), stride = ctx.shape, ctx.stride
        gradient = gradients[0].permute(0, 2, 3, 1)
        rows, columns = gradient.shape[1:3]
        gradient = gradient.reshape(-1, len(matrix))  # (B·rows·columns, O)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (gradient.T @ windows).view(-1, 3, 3, channels).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[0]:
            parts = (gradient @ matrix).view(batch, rows, columns, 3, 3, channels)
            padded = parts.new_zeros(batch, height + 2, width + 2, channels)
            for i in range(3):
                for j in range(3):
                    shifted = padded[:, i : i + rows * stride : stride, j : j + columns * stride : stride]
                    shifted += parts[:, :, :, i, j]
            grad_x = padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
        return grad_x, grad_weight, None

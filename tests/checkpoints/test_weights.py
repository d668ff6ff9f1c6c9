"""Tests of `earcli/checkpoints/weights.py`."""

import hashlib

import pytest
import torch

from earcli.checkpoints.weights import check_fit, fingerprint
from earcli.errors import CheckpointError, WeightsError


def test_the_fingerprint_is_a_hash_of_names_shapes_and_values() -> None:
    a, b = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0.5])
    content = b"a (2, 2)" + a.numpy().tobytes() + b"b (1,)" + b.numpy().tobytes()
    assert fingerprint({"b": b, "a": a}) == hashlib.sha256(content).hexdigest()[:16]


def test_the_fingerprint_ignores_order_layout_and_counters() -> None:
    weights = {"a": torch.rand(2, 3, 4, 4), "b": torch.zeros(2)}
    same = {
        "b": torch.zeros(2, requires_grad=True),
        "norm.num_batches_tracked": torch.tensor(9),
        "a": weights["a"].to(memory_format=torch.channels_last),
    }
    assert fingerprint(same) == fingerprint(weights)


@pytest.mark.parametrize(
    "other", [{"b": torch.ones(4)}, {"a": torch.ones(2, 2)}, {"a": torch.tensor([1, 1, 1, 1.0001])}, {}]
)
def test_other_weights_have_another_fingerprint(other: dict[str, torch.Tensor]) -> None:
    assert fingerprint(other) != fingerprint({"a": torch.ones(4)})


def test_weights_that_are_missing_or_of_another_shape_are_refused() -> None:
    expected = {"a": torch.zeros(2, 3), "b": torch.zeros(4), "c": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"^The file: 2 of 3 weights are missing, such as b\.$"):
        check_fit({"a": torch.zeros(2, 3)}, expected, "The file", CheckpointError)
    with pytest.raises(WeightsError, match=r"^x\.pth: b is \(5,\), expected \(4,\)\.$"):
        check_fit({**expected, "b": torch.zeros(5)}, expected, "x.pth", WeightsError)


def test_weights_that_the_model_does_not_need_do_no_harm() -> None:
    check_fit({"a": torch.ones(2), "head": torch.ones(9)}, {"a": torch.zeros(2)}, "x", WeightsError)

"""`low_memory` and `compile`: what they change, and what they do not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from earcli.benchmarks.step_timer import precision_context
from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError
from earcli.models.vae import EarVAE
from earcli.training import execution as switches
from earcli.training.execution import apply_switches, check_switches, checkpointed_blocks, deterministic_kernels
from earcli.training.teacher import TeacherModule


def test_low_memory_knows_synchronized_batch_norms() -> None:
    norm = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(2)))  # type: ignore[no-untyped-call]
    with switches._frozen_statistics(norm):
        assert norm[0].momentum == 0
    assert norm[0].momentum == 0.1


CPU = torch.device("cpu")


def step(config: TrainConfig) -> tuple[TeacherModule, Tensor, int]:
    """One training step without an optimizer: the module, its loss, and the bytes kept for the backward pass."""
    torch.manual_seed(0)
    module = TeacherModule(config, 10).train()
    apply_switches(module.model, config)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), precision_context(config, CPU):
        loss = module.training_step({"pixels": pixels, "subject": torch.full((4,), -1)}, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    return module, loss, sum(kept.values())


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_low_memory_gives_the_same_gradients_and_statistics_and_keeps_less(precision: str) -> None:
    knobs = {"precision": precision, "latent_dim": 8, "freeze_layers": 1}
    config = TrainConfig.resolve("tiny", {}, knobs)
    (plain, loss, kept), (lean, same, less) = step(config), step(replace(config, low_memory=True))
    assert torch.equal(loss, same)
    assert less < 0.8 * kept
    assert lean.state_dict().keys() == plain.state_dict().keys()
    for (name, a), (_, b) in zip(plain.model.named_parameters(), lean.model.named_parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None and b.grad is not None:
            assert torch.equal(a.grad, b.grad), name
    for (name, a), (_, b) in zip(plain.model.named_buffers(), lean.model.named_buffers(), strict=True):
        assert torch.equal(a, b), name
    assert lean.model.decoder.stages[1][0].body[1].num_batches_tracked == 1


def test_a_model_that_trains_with_low_memory_validates_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig.resolve("tiny", {}, {"latent_dim": 8, "low_memory": True})
    model = EarVAE(config.latent_dim, config.image_size, config.encoder)
    images = torch.rand(2, 3, 64, 64)
    expected = model.eval()(images).reconstruction
    apply_switches(model, config)
    monkeypatch.setattr("earcli.training.execution.checkpoint", None)
    torch.testing.assert_close(model(images).reconstruction, expected, rtol=0, atol=0)
    with pytest.raises(TypeError, match="not callable"):
        model.train()(images)


def test_every_block_of_encoder_and_decoder_is_one() -> None:
    model = EarVAE(8, 64, "resnet18")
    covered = {id(parameter) for block in checkpointed_blocks(model) for parameter in block.parameters()}
    names = [name.replace("trunk.", "") for name, p in model.named_parameters() if id(p) not in covered]
    others = {name.split(".")[1] for name in names}
    assert others == {"stem", "mu_head", "logvar_head", "lateral", "expand", "to_rgb", "sketch"}


def test_compile_translates_training_passes_only_and_keeps_names(monkeypatch: pytest.MonkeyPatch) -> None:
    translated: list[Any] = []

    def spy(forward: Callable[..., Any], mode: str) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            translated.append((forward.__self__.__class__.__name__, mode))  # type: ignore[attr-defined]
            return forward(*inputs)

        return run

    monkeypatch.setattr(torch, "compile", spy)
    config = TrainConfig.resolve("tiny", {}, {"latent_dim": 8, "compile": True})
    model = EarVAE(config.latent_dim, config.image_size, config.encoder)
    names = list(model.state_dict())
    apply_switches(model, config)
    model.eval()(torch.rand(2, 3, 64, 64))
    assert translated == []
    model.train()(torch.rand(2, 3, 64, 64))
    mode = "reduce-overhead" if torch.cuda.is_available() else "default"
    assert translated == [("EarEncoder", mode), ("EarDecoder", mode)]
    assert list(model.state_dict()) == names


def test_compile_without_a_compiler_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("No working C++ compiler found in torch._inductor.config.cpp.cxx\nmore")

    monkeypatch.setattr(torch, "compile", none)
    config = TrainConfig.resolve("tiny", {}, {"compile": True})
    with pytest.raises(
        ConfigError, match=r"^`compile` found no working compiler \(RuntimeError: No working .* do not set `compile`.$"
    ):
        check_switches(config)
    with pytest.raises(ConfigError, match=r"^`compile` and `low_memory` cannot be combined"):
        check_switches(replace(config, low_memory=True))
    check_switches(replace(config, compile=False, low_memory=True))


@pytest.mark.parametrize("cuda", [True, False])
def test_training_on_cuda_repeats_its_results(cuda: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with deterministic_kernels():
        assert torch.are_deterministic_algorithms_enabled() is cuda
    assert not torch.are_deterministic_algorithms_enabled()

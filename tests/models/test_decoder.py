"""Tests of `earcli/models/decoder.py`."""

import pytest
import torch

from earcli.models.decoder import EarDecoder
from earcli.models.vae import EarVAE


@pytest.fixture
def decoder() -> EarDecoder:
    torch.manual_seed(0)
    return EarDecoder(8, 64, 64).eval()


@torch.no_grad()
def test_each_stage_doubles_the_side(decoder: EarDecoder) -> None:
    z = torch.randn(2, 8)
    maps = decoder.maps(z)
    assert [tuple(m.shape) for m in maps] == [
        (2, 64, 4, 4), (2, 32, 8, 8), (2, 16, 16, 16), (2, 8, 32, 32), (2, 4, 64, 64),
    ]  # fmt: skip
    assert decoder.channels == (64, 32, 16, 8, 4)
    first = decoder.maps(z, 2)
    assert len(first) == 2
    assert all(torch.equal(a, b) for a, b in zip(first, maps, strict=False))


@torch.no_grad()
def test_at_first_the_image_is_the_sketch_alone_and_later_their_sum(decoder: EarDecoder) -> None:
    z = torch.randn(2, 8)
    before = decoder(z)
    decoder.expand.weight.mul_(-300)
    assert torch.equal(decoder(z), before)
    torch.nn.init.normal_(decoder.to_rgb.weight)
    after = decoder(z)
    assert (after - before).abs().mean() > 0.1
    for parameter in decoder.sketch.parameters():
        parameter.zero_()
    stages = decoder(z).atanh()
    torch.testing.assert_close(after, (stages + before.atanh() - decoder.to_rgb.bias.view(3, 1, 1)).tanh())


@torch.no_grad()
def test_a_pixel_of_the_sketch_is_a_square_of_the_image(decoder: EarDecoder) -> None:
    for parameter in (*decoder.sketch.parameters(), decoder.to_rgb.bias):
        parameter.zero_()
    decoder.sketch.bias.view(3, 8, 8)[1, 0, 5] = 2.0  # green, first row, sixth column
    image = decoder(torch.zeros(1, 8))[0]
    assert image[[0, 2]].abs().max() == 0
    row, column = divmod(int(image[1].argmax()), 64)
    assert row < 8
    assert 40 <= column < 48
    # halfway between the centers of two pixels: 15/16 of it, in the first row, where there is no pixel above
    torch.testing.assert_close(image[1, 0, 43], torch.tensor(2 * 15 / 16).tanh())
    assert image[1, 12:].abs().max() == image[1, :, :36].abs().max() == image[1, :, 52:].abs().max() == 0


@torch.no_grad()
def test_images_stay_within_their_range(decoder: EarDecoder) -> None:
    image = decoder(torch.full((1, 8), 1e4))
    assert (image.min(), image.max()) == (-1, 1)


def test_the_sketch_is_a_hundredth_of_the_teacher() -> None:
    with torch.device("meta"):
        model = EarVAE()
    sketch, total = (sum(p.numel() for p in m.parameters()) for m in (model.decoder.sketch, model))
    assert sketch == 3 * 16 * 16 * (1024 + 1)
    assert sketch < 0.01 * total

"""The appearance of synthetic ears: one light source, skin, hair."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from earcli.synthetic.anatomy import HEIGHT, WIDTH, Array, Factors, soft_step


def _blur(values: Array, factor: int) -> Array:
    """A blur: downsampling, then upsampling."""
    image = Image.fromarray(values)
    small = image.resize((max(values.shape[1] // factor, 2), max(values.shape[0] // factor, 2)), Image.Resampling.BOX)
    return np.asarray(small.resize(image.size, Image.Resampling.BICUBIC))


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Smooth noise, about −1 to 1, interpolated from a grid of `rows` × `columns`."""
    coarse = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def render(x: Array, y: Array, height: Array, inside: Array, f: Factors, rng: np.random.Generator) -> Array:
    """Shades the height map and adds skin and hair, (H, W, 3), about 0 to 1.

    Args:
        x: Of each pixel in ear units, (H, W).
        y: Of each pixel in ear units, (H, W).
        height: See `earcli.synthetic.anatomy.height_map`.
        inside: See `earcli.synthetic.anatomy.height_map`.
        f: The factors.
        rng: Determines skin texture, strands of hair and noise.
    """
    pixels = f.size * HEIGHT / 2  # per ear unit
    dy, dx = np.gradient(height * pixels)
    azimuth, elevation = np.radians(f.light_azimuth), np.radians(f.light_elevation)
    light_direction = np.array(
        [np.cos(azimuth) * np.cos(elevation), -np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    normal_length = np.sqrt(dx**2 + dy**2 + 1)
    lambert = ((-dx * light_direction[0] - dy * light_direction[1] + light_direction[2]) / normal_length).clip(0, 1)
    hollow = (_blur(height, 10) - height).clip(0, None) + 0.5 * (_blur(height, 26) - height).clip(0, None)
    behind = _blur(inside, 12) * (1 - inside)  # the ear's shadow on the head
    open_sky = np.exp(-6.5 * hollow - 1.1 * behind)
    light = f.light_strength * (0.36 * open_sky + 0.75 * lambert * np.sqrt(open_sky))
    skin = np.array([0.95, 0.78, 0.68]) * (1 - f.skin) + np.array([0.42, 0.27, 0.2]) * f.skin
    flush = np.stack([np.zeros_like(hollow), -0.35 * hollow, -0.4 * hollow], -1)
    mottle = 1 + 0.02 * _noise(rng, 26, 20) + 0.015 * _noise(rng, 104, 80)
    image = (skin + flush) * (light * mottle)[..., None]
    half_length = np.linalg.norm(light_direction + np.array([0, 0, 1]))  # of the half vector of Blinn and Phong
    half = (-dx * light_direction[0] - dy * light_direction[1] + light_direction[2] + 1) / (normal_length * half_length)
    image = image + (0.13 * f.light_strength * half.clip(0, 1) ** 40 * open_sky)[..., None]
    image = _add_hair(image, x, y, inside, f, rng)
    image = image * (1 + 0.07 * f.warmth * np.array([1, 0.1, -1]))
    return (image + 0.008 * rng.standard_normal(image.shape)).astype(np.float32)


def _add_hair(
    image: NDArray[np.float64], x: Array, y: Array, inside: Array, f: Factors, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Hair behind and above the ear, and locks over its top."""
    sweep = x * 0.8 + y * 0.35 + 0.25 * np.sin(1.5 * y + rng.uniform(0, 6)) + 0.04 * _noise(rng, 5, 4)
    lines = rng.standard_normal(420).astype(np.float32)
    position = ((sweep + 3) * 70) % 419
    low = position.astype(int)
    strands = lines[low] * (1 - (position - low)) + lines[low + 1] * (position - low)
    tone = np.array([0.72, 0.55, 0.34]) * (1 - f.hair) + np.array([0.07, 0.055, 0.05]) * f.hair
    sheen = 0.75 + 0.16 * strands + 0.25 * np.exp(-(((y + 0.4 + 0.4 * x) / 0.35) ** 2))
    hair = tone * (f.light_strength * sheen.clip(0.25, 1.6))[..., None]
    edge = 0.05 * strands + 0.06 * _noise(rng, 9, 7)
    line = np.maximum(x - 0.6 + 0.3 * y.clip(0), -(y + 0.62 + 0.5 * (x + 0.5).clip(-1, 0.6) ** 2))
    backdrop = soft_step(line + edge, 0.03) * (1 - inside)
    locks = soft_step(-(y + 1.12 - 0.42 * f.hair_cover + 0.3 * x + 2.2 * edge), 0.025)
    cover = np.maximum(backdrop, locks)[..., None]
    return np.asarray(image * (1 - cover) + hair * cover)

"""The picture of an archive room as its camera would see it: shelves, boxes, a door, light, smoke, water, and a clock burnt in.

Pure: the same view and noise seed give the same pixels. A real sensor never repeats a picture, so the noise seed is part of every frame.
"""

import io
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT = 640, 360
_COVERS = ((122, 88, 60), (92, 70, 52), (140, 110, 76), (70, 86, 100), (110, 60, 56), (150, 140, 120))


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen: `smoke` in dB/m, `clock` the text burnt in, `scene` chooses the furniture, `frame` the noise."""

    scene: str
    clock: str
    door_open: bool = False
    light: bool = True
    person: bool = False
    smoke: float = 0.0
    leak: bool = False
    moved: bool = False
    blurred: bool = False
    covered: bool = False
    black: bool = False
    white: bool = False
    frame: int = 0


def jpeg(view: View, quality: int = 82) -> bytes:
    """The picture as a JPEG file."""
    out = io.BytesIO()
    render(view).save(out, "JPEG", quality=quality)
    return out.getvalue()


def render(view: View) -> Image.Image:
    """The picture, 640 x 360 RGB."""
    noise = np.random.default_rng(view.frame)
    if view.black or view.white or view.covered:
        level, sigma = (4.0, 1.2) if view.black else (251.0, 1.5) if view.white else (58.0, 2.0)
        return _with_noise(np.full((HEIGHT, WIDTH, 3), level), noise, sigma)
    image = _room(view.scene, view.door_open).copy()
    draw = ImageDraw.Draw(image)
    if view.person:
        _person(draw, noise)
    if view.leak:
        _puddle(draw)
    if view.moved:
        image = image.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, (0.72, -0.22, 190.0, 0.16, 0.72, -30.0), fillcolor=(168, 166, 158))
    pixels = _light(np.asarray(image, dtype=np.float64), view)
    image = _with_noise(pixels, noise, 2.5)
    if view.blurred:
        image = image.filter(ImageFilter.GaussianBlur(12))
    _clock(ImageDraw.Draw(image), view)
    return image


def _light(pixels: np.ndarray, view: View) -> np.ndarray:
    """Lamps or infrared, then haze: with density m in dB/m the far wall (6 m) is seen with 10^(-m*6/10) of its contrast."""
    if not view.light:
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = np.repeat(14.0 + 0.42 * grey, 3, axis=2)
    clear = 10.0 ** (-view.smoke * 6.0 / 10.0)
    depth = np.linspace(1.15, 0.75, HEIGHT)[:, None, None]  # smoke gathers below the ceiling
    share = np.clip((1.0 - clear) * depth, 0.0, 1.0)
    haze = 172.0 if view.light else 95.0
    result: np.ndarray = pixels * (1.0 - share) + haze * share
    return result


def _with_noise(pixels: np.ndarray, noise: np.random.Generator, sigma: float) -> Image.Image:
    grain = noise.normal(0.0, sigma, (HEIGHT, WIDTH, 1))
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


@lru_cache(maxsize=512)
def _room(scene: str, door_open: bool) -> Image.Image:
    """Walls, floor, shelves with boxes, door. The boxes depend on the scene alone."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (196, 194, 186))
    draw = ImageDraw.Draw(image)
    draw.polygon([(0, 300), (WIDTH, 250), (WIDTH, HEIGHT), (0, HEIGHT)], fill=(128, 124, 116))
    draw.rectangle((60, 8, 330, 18), fill=(244, 244, 236))
    draw.rectangle((380, 8, 600, 18), fill=(244, 244, 236))
    _shelves(draw, random.Random(f"scene/{scene}"))
    _door(draw, door_open)
    return image


def _shelves(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    for left in (24, 178, 332):
        draw.rectangle((left, 40, left + 136, 318 - left // 12), outline=(84, 90, 96), width=4, fill=(150, 152, 150))
        for row in range(5):
            top = 48 + row * 50
            draw.rectangle((left, top + 42, left + 136, top + 46), fill=(84, 90, 96))
            x = left + 6
            while x < left + 124:
                width = rng.randint(7, 16)
                high = rng.randint(28, 38)
                if rng.random() < 0.88:
                    draw.rectangle((x, top + 42 - high, x + width - 2, top + 42), fill=rng.choice(_COVERS))
                    draw.rectangle((x + 2, top + 50 - high, x + width - 4, top + 56 - high), fill=(226, 222, 208))
                x += width


def _door(draw: ImageDraw.ImageDraw, door_open: bool) -> None:
    draw.rectangle((506, 70, 606, 290), fill=(96, 92, 88))
    if door_open:
        draw.rectangle((512, 76, 600, 286), fill=(34, 36, 44))
        draw.polygon([(512, 76), (478, 96), (478, 312), (512, 286)], fill=(120, 66, 52), outline=(70, 40, 34))
        draw.rectangle((548, 190, 600, 286), fill=(60, 62, 70))  # the corridor behind it
    else:
        draw.rectangle((512, 76, 600, 286), fill=(140, 78, 60))
        draw.rectangle((524, 92, 588, 168), outline=(104, 56, 44), width=3)
        draw.rectangle((524, 186, 588, 268), outline=(104, 56, 44), width=3)
        draw.ellipse((584, 174, 594, 184), fill=(214, 196, 120))


def _person(draw: ImageDraw.ImageDraw, noise: np.random.Generator) -> None:
    x = int(noise.integers(300, 470))
    draw.ellipse((x, 120, x + 36, 160), fill=(196, 156, 128))
    draw.polygon([(x - 14, 165), (x + 50, 165), (x + 42, 250), (x - 6, 250)], fill=(44, 62, 92))
    draw.rectangle((x - 4, 250, x + 40, 340), fill=(38, 40, 46))


def _puddle(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((200, 302, 470, 352), fill=(92, 112, 130))
    draw.ellipse((236, 310, 420, 340), fill=(150, 170, 184))
    draw.ellipse((262, 316, 330, 328), fill=(206, 216, 222))


def _clock(draw: ImageDraw.ImageDraw, view: View) -> None:
    font = _font()
    for text, y in ((view.clock, 8), (view.scene, HEIGHT - 26)):
        draw.text((11, y + 1), text, fill=(0, 0, 0), font=font)
        draw.text((10, y), text, fill=(250, 250, 250), font=font)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(18)

"""Name and time on what leaves the screen: stills, plans, prints, exports. A copy that turns up elsewhere says who took it, and when."""

import io
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from math import ceil, floor
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from PIL import Image, ImageDraw, ImageFont

_ZONE = ZoneInfo("Asia/Shanghai")
_SIZE_OF_WIDTH = 36


def line(name: str, unit: str, now: int) -> str:
    """The text: who, of which unit, when (Beijing time), e.g. for the head of an export or the foot of a PDF."""
    place = f" {unit}" if unit else ""
    return f"{name}{place} {datetime.fromtimestamp(now / 1000, _ZONE):%Y-%m-%d %H:%M:%S}"


def still(content: bytes, text: str, areas: Sequence[tuple[float, float, float, float]] = ()) -> bytes:
    """A JPEG or PNG with the text across it, as JPEG; `areas` (left, top, width, height as shares) are filled first: nothing shows through.

    The stored original is not touched. Raises OSError for what is no picture.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    _cover(picture, areas)
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    font = _font(max(12, picture.width // _SIZE_OF_WIDTH))
    width, height = (int(value) for value in draw.textbbox((0, 0), text, font=font)[2:])
    for row, top in enumerate(range(height, picture.height, height * 6)):
        for left in range(-(row % 2) * width // 2, picture.width, int(width * 1.25)):
            draw.text((left, top), text, font=font, fill=(255, 255, 255, 92), stroke_width=1, stroke_fill=(0, 0, 0, 60))
    buffer = io.BytesIO()
    Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB").save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def covered(content: bytes, areas: Sequence[tuple[float, float, float, float]], width: int) -> bytes:
    """A JPEG of at most this width with the areas filled, for papers. Raises OSError for what is no picture."""
    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    _cover(picture, areas)
    picture.thumbnail((width, width))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _cover(picture: Image.Image, areas: Sequence[tuple[float, float, float, float]]) -> None:
    """Filled outright: what is blurred or made of large squares can be guessed back."""
    draw = ImageDraw.Draw(picture)
    for left, top, width, height in areas:
        upper = (floor(left * picture.width), floor(top * picture.height))
        lower = (ceil((left + width) * picture.width), ceil((top + height) * picture.height))
        draw.rectangle((upper, lower), fill=(58, 64, 70))


def svg(text: str) -> str:
    """A tile for the background of plans and printed pages."""
    width = 20 + 9 * sum(2 if ord(character) > 255 else 1 for character in text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="180"><text x="10" y="110" font-size="16" fill="#777" fill-opacity=".28"'
        f' font-family="sans-serif" transform="rotate(-14 {width // 2} 90)">{escape(text)}</text></svg>'
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(files("pylopdf_fonts_zh_cn").joinpath("NotoSansSC-Regular.otf")), size)

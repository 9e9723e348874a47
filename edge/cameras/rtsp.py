"""One frame out of an RTSP stream through PyAV, which is an extra of its own: `pip install archivewatch[camera]`."""

import io
from importlib.util import find_spec
from typing import Any, Final

from edge.pictures import NoPictureError

_OPTIONS: Final = {
    "rtsp_transport": "tcp",  # UDP loses too much on mobile lines
    "fflags": "nobuffer",
    "fpsprobesize": "0",  # one frame needs no frame rate, which takes five seconds to measure
    "analyzeduration": "1000000",  # microseconds
}
_QUALITY: Final = 85


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("av") is not None


def frame(url: str, timeout_s: float, options: dict[str, str] | None = None) -> bytes:
    """The next key frame as JPEG; blocks, so it belongs into a thread. Raises NoPictureError."""
    if not available():
        raise NoPictureError("RTSP 需要附加组件：pip install archivewatch[camera]")
    import av  # noqa: PLC0415 - an extra

    try:
        chosen = _OPTIONS if options is None else options
        with av.open(url, options=chosen, timeout=(timeout_s, timeout_s), metadata_errors="ignore") as container:
            container.streams.video[0].codec_context.skip_frame = "NONKEY"
            for picture in container.decode(video=0):
                return _jpeg(picture)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise NoPictureError(f"视频流打不开（{type(error).__name__}）") from None
    raise NoPictureError("视频流里没有画面")


def _jpeg(picture: Any) -> bytes:
    out = io.BytesIO()
    picture.to_image().save(out, format="JPEG", quality=_QUALITY)
    return out.getvalue()

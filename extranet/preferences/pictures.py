"""A profile picture: decoded, cropped, re-encoded. Nothing of the uploaded file is kept but its pixels."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from extranet.errors import Invalid
from extranet.i18n import gettext as _

LARGEST_BYTES = 2 * 1024 * 1024
_LONGEST_SIDE = 4096
_MOST_PIXELS = 16_000_000
_SIDE = 256
_FORMATS = ("PNG", "JPEG", "WEBP")


def make_picture(upload: bytes) -> bytes:
    """Return a square WebP of 256 px; raise Invalid for anything but a reasonable PNG, JPEG or WebP.

    Dimensions are read from the header and refused before a pixel is decoded.
    """
    if not upload:
        raise Invalid("avatar", _("Choose a picture first."))
    if len(upload) > LARGEST_BYTES:
        raise Invalid("avatar", too_large())
    try:
        with Image.open(io.BytesIO(upload), formats=_FORMATS) as image:
            _refuse_large(image)
            square = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGBA"), (_SIDE, _SIDE))
    except Invalid:
        raise
    except Exception as error:
        raise Invalid("avatar", _("This is not a PNG, JPEG or WebP picture that can be read.")) from error
    encoded = io.BytesIO()
    square.save(encoded, "WEBP", quality=85)
    return encoded.getvalue()


def too_large() -> str:
    """Return what to say about a file over the limit."""
    return _("This picture is too large: at most 2 MB, please.")


def _refuse_large(image: Image.Image) -> None:
    width, height = image.size
    if max(width, height) > _LONGEST_SIDE or width * height > _MOST_PIXELS:
        raise Invalid("avatar", _("This picture has too many pixels: at most 4096 on each side, please."))

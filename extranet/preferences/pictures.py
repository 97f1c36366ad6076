"""A profile picture or a logo: decoded, cropped, re-encoded. Nothing of the uploaded file is kept but its pixels."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageOps

from extranet.errors import Invalid
from extranet.i18n import gettext as _

LARGEST_BYTES = 2 * 1024 * 1024
_LONGEST_SIDE = 4096
_MOST_PIXELS = 16_000_000
_SIDE = 256
_LOGO_SIZE = (480, 160)
_FORMATS = ("PNG", "JPEG", "WEBP")


def make_picture(upload: bytes) -> bytes:
    """Return a square WebP of 256 px; raise Invalid for anything but a reasonable PNG, JPEG or WebP.

    Dimensions are read from the header and refused before a pixel is decoded.
    """
    return _encoded(upload, "avatar", lambda image: ImageOps.fit(image, (_SIDE, _SIDE)))


def make_logo(upload: bytes) -> bytes:
    """Return a WebP of the picture's own shape, transparent where it was, at most 480 by 160 px; raise Invalid."""
    return _encoded(upload, "logo", lambda image: ImageOps.contain(image, _LOGO_SIZE))


def too_large() -> str:
    """Return what to say about a file over the limit."""
    return _("This picture is too large: at most 2 MB, please.")


def _encoded(upload: bytes, field: str, shape: Callable[[Image.Image], Image.Image]) -> bytes:
    if not upload:
        raise Invalid(field, _("Choose a picture first."))
    if len(upload) > LARGEST_BYTES:
        raise Invalid(field, too_large())
    try:
        with Image.open(io.BytesIO(upload), formats=_FORMATS) as image:
            _refuse_large(image, field)
            shaped = shape(ImageOps.exif_transpose(image).convert("RGBA"))
    except Invalid:
        raise
    except Exception as error:
        raise Invalid(field, _("This is not a PNG, JPEG or WebP picture that can be read.")) from error
    encoded = io.BytesIO()
    shaped.save(encoded, "WEBP", quality=85)
    return encoded.getvalue()


def _refuse_large(image: Image.Image, field: str) -> None:
    width, height = image.size
    if max(width, height) > _LONGEST_SIDE or width * height > _MOST_PIXELS:
        raise Invalid(field, _("This picture has too many pixels: at most 4096 on each side, please."))

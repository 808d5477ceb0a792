"""Pixels of an image file that Pillow has opened: which way up they are, and their range."""

import struct
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

TURNS = {  # EXIF's orientation: what sets the image upright
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
GREY = ("1", "L", "LA", "La", "I")  # and I;16 of either order of bytes
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
WIDTH, LENGTH, BITS, WHITE_IS_0, FORMAT = 256, 257, 258, 262, 339  # TIFF's tags


def orientation(image: Image.Image) -> int:
  """Returns how an image that is just opened lies, 1 (upright) to 8, by its EXIF or XMP.

  Both the header's size and the pixels are turned by this alone. A value that is none of EXIF's, as
  0, 9 or a text, is 1.
  """
  if image.format == "PNG" and _told_late(image):
    image.load()
  found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)  # PNG's own would decode
  return int(found) if found in tuple(TURNS) else 1


def size(image: Image.Image) -> tuple[int, int]:
  """Returns (height, width) of the upright image, from the header."""
  width, height = image.size
  if image.format == "TIFF":  # some versions of Pillow have exchanged these two, others not
    width, height = image.tag_v2[WIDTH], image.tag_v2[LENGTH]
  return (width, height) if orientation(image) > 4 else (height, width)


def channels(image: Image.Image) -> int:
  """Returns 1 for a grey image, else 3. Raises: ValueError for pixels of an unknown range."""
  highest(image)
  grey = image.mode in GREY or image.mode.startswith("I") or _raw(image) == "LA;16B"
  return 1 if grey else 3


def highest(image: Image.Image) -> int:
  """Returns the level of white. Raises: ValueError for a mode in which it is not known."""
  mode, tags = image.mode, getattr(image, "tag_v2", {})
  if max(tags.get(FORMAT, (1,))) == 2:
    raise ValueError("its pixels are signed integers of unknown range; expected 8 or 16 bits")
  if mode.startswith("I;16"):
    return 2 ** tags.get(BITS, (16,))[0] - 1  # a TIFF may have 12
  if mode == "I" and image.format not in ("PNG", "PPM"):  # of these Pillow makes 16 bits
    raise ValueError("its pixels are 32-bit integers of unknown range; expected 8 or 16 bits")
  if mode not in GREY + COLOUR:
    raise ValueError(f"its pixels are {mode}; expected grey, RGB, CMYK or YCbCr, of 8 or 16 bits")
  return 65535 if mode == "I" else 255


def plain(image: Image.Image) -> Image.Image:
  """Returns an image in mode L or RGB, upright, on a white background.

  Raises: ValueError for pixels of an unknown range.
  """
  white, mode = highest(image), "L" if channels(image) == 1 else "RGB"
  depth = {"L;2": 2, "L;4": 4, "RGB;16B": 16}.get(_raw(image), 0)
  turn = TURNS.get(orientation(image))
  image.load()
  if turn is not None and image.format != "TIFF":  # Pillow's decoder of TIFF turns by itself
    image = image.transpose(turn)
  clear = image.info.get("transparency")
  if white > 255:
    return _eight_bits(image, white, clear)
  if depth and clear is not None:  # Pillow scales the pixels to 8 bits, but not this level
    rgb = isinstance(clear, tuple)
    image.info["transparency"] = (
      tuple(c >> 8 for c in clear) if rgb else clear * 255 // (2**depth - 1)
    )
  if image.has_transparency_data:
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(paper, image)
  return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image, white: int, clear: int | None) -> Image.Image:
  """Returns grey pixels from 0 to `white` as mode L; those of the level `clear` become white."""
  levels = (np.arange(white + 1) * (255 / white) + 0.5).astype(np.uint8)
  if getattr(image, "tag_v2", {}).get(WHITE_IS_0) == 0:  # Pillow inverts 8 bits alone
    levels = 255 - levels
  if clear is not None:
    levels[clear] = 255
  return Image.fromarray(levels[np.clip(np.asarray(image), 0, white)])


def _raw(image: Image.Image) -> str:
  """Returns how the pixels of a PNG that is not decoded yet lie in the file, in Pillow's words."""
  return image.tile[0][3] if image.format == "PNG" and image.tile else ""


def _told_late(image: Image.Image) -> bool:
  """Returns whether a PNG has EXIF or XMP after its pixels, where Pillow finds it on decoding."""
  file, pixels = image.fp, False
  start = file.tell()
  file.seek(8)
  try:
    while len(head := file.read(8)) == 8:
      length, kind = struct.unpack(">I4s", head)
      after = file.tell() + length + 4
      pixels |= kind == b"IDAT"
      if pixels and (kind == b"eXIf" or kind in (b"tEXt", b"zTXt", b"iTXt") and _of_exif(file)):
        return True
      file.seek(after)
    return False
  finally:
    file.seek(start)


def _of_exif(file: BinaryIO) -> bool:
  keyword = file.read(80).partition(b"\0")[0].lower()
  return b"exif" in keyword or b"app1" in keyword or b"xmp" in keyword

"""Images of every orientation and mode: header and pixels agree, and no level is lost."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.image import read, shape_of
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (3, 5, 3), dtype=np.uint8)
UPRIGHT = {  # EXIF's orientation: what shows the image as it was seen
  1: lambda a: a,
  2: lambda a: a[:, ::-1],
  3: lambda a: a[::-1, ::-1],
  4: lambda a: a[::-1],
  5: lambda a: np.swapaxes(a, 0, 1),
  6: lambda a: np.rot90(a, -1),
  7: lambda a: np.swapaxes(a, 0, 1)[::-1, ::-1],
  8: lambda a: np.rot90(a),
}
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{}"/></x:xmpmeta>'


def chunk(kind, data):
  body = kind + data
  return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def exif(value):
  """Returns EXIF whose orientation is a number, or the bytes of another kind of entry."""
  entry = struct.pack("<HIHH", 3, 1, value, 0) if isinstance(value, int) else value
  head = b"Exif\0\0II*\0" + struct.pack("<IHH", 8, 1, 0x0112)
  return head + entry + bytes(4) + struct.pack("<II", 1, 6)  # a rational has its value out here


def saved(kind, pixels=COLOUR, **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, kind, **options)
  return file.getvalue()


def png(kind, value, late):
  """Returns a PNG that tells its orientation before its pixels or after them."""
  whole = saved("png")
  raw = exif(value)
  profile = f"\nexif\n{len(raw):8}\n{raw.hex()}\n".encode()
  told = {
    "exif": lambda: chunk(b"eXIf", raw.removeprefix(b"Exif\0\0")),
    "profile": lambda: chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
    "xmp": lambda: chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.format(value).encode()),
  }[kind]()
  at = whole.index(b"IEND" if late else b"IDAT") - 4
  return whole[:at] + told + whole[at:]


def tiff(value, **options):
  whole = saved("tiff", tiffinfo={0x0112: 8}, **options)
  entry = struct.pack("<HHIHH", 0x0112, 3, 1, 8, 0)
  assert entry in whole
  return whole.replace(entry, entry[:2] + exif(value)[18:28])


WAYS = {
  "jpeg": lambda v: saved("jpeg", exif=exif(v), quality=100, subsampling=0),
  "jpeg, XMP": lambda v: saved("jpeg", xmp=XMP.format(v).encode(), quality=100, subsampling=0),
  "webp": lambda v: saved("webp", exif=exif(v), lossless=True),
  "webp, XMP": lambda v: saved("webp", xmp=XMP.format(v).encode(), lossless=True),
  "tiff": tiff,
  "tiff, LZW": lambda v: tiff(v, compression="tiff_lzw"),
  "tiff, XMP": lambda v: saved("tiff", tiffinfo={700: XMP.format(v).encode()}),
  **{
    f"png, {kind}{', late' * late}": lambda v, kind=kind, late=late: png(kind, v, late)
    for kind in ("exif", "profile", "xmp")
    for late in (False, True)
  },
}


def check(content, want, slack=0, channels=3):
  """Asserts that pixels and header of a file are those wanted."""
  found, header = read(io.BytesIO(content)), Preprocessing(channels=0)
  assert found.shape == want.shape
  assert shape_of(io.BytesIO(content), header) == (*want.shape[:2], channels)
  assert np.abs(found.astype(int) - want).max() <= slack


@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("way", WAYS)
def test_every_orientation_wherever_it_stands(way, value):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    check(WAYS[way](value), UPRIGHT.get(value, UPRIGHT[1])(COLOUR), 6 * way.startswith("jpeg"))


@pytest.mark.parametrize("way", [way for way in WAYS if "XMP" not in way and "xmp" not in way])
@pytest.mark.parametrize(
  "entry, turn",
  [
    pytest.param(struct.pack("<HI4s", 2, 2, b"6\0"), 1, id="text"),
    pytest.param(struct.pack("<HI4s", 2, 4, b"abc"), 1, id="letters"),
    pytest.param(struct.pack("<HI4s", 1, 1, b"\6"), 1, id="a byte"),
    pytest.param(struct.pack("<HII", 4, 1, 6), 6, id="a long number"),
    pytest.param(struct.pack("<HIHH", 3, 2, 6, 3), 6, id="two numbers"),
    pytest.param(struct.pack("<HIHH", 3, 1, 65535, 0), 1, id="a large number"),
    pytest.param(struct.pack("<HII", 5, 2**30, 2**31), 1, id="an array beyond the file"),
  ],
)
def test_an_orientation_of_another_type(way, entry, turn):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    check(WAYS[way](entry), UPRIGHT[turn](COLOUR), 6 * way.startswith("jpeg"))


def raw_png(depth, colour, row, width, clear):
  """Returns a PNG of one row, whose transparent level is `clear`."""
  head = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
  parts = (b"IHDR", head), (b"tRNS", clear), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")
  return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts if part[1] is not None)


@pytest.mark.parametrize(
  "depth, colour, row, clear, want",
  [
    (1, 0, b"\x50", b"\0\0", [255, 255, 255, 255]),
    (1, 0, b"\x50", b"\0\1", [0, 255, 0, 255]),
    (2, 0, b"\x1b", b"\0\1", [0, 255, 170, 255]),
    (4, 0, b"\x05\xaf", b"\0\5", [0, 255, 170, 255]),
    (8, 0, b"\0\5\x0a\x0f", b"\0\5", [0, 255, 10, 15]),
    (16, 0, struct.pack(">4H", 0, 1000, 25700, 65535), struct.pack(">H", 1000), [0, 255, 100, 255]),
    (16, 0, struct.pack(">4H", 0, 1000, 25700, 65535), None, [0, 4, 100, 255]),
    (16, 4, struct.pack(">8H", 0, 65535, 9, 0, 25700, 65535, 8, 0), None, [0, 255, 100, 255]),
    (16, 2, struct.pack(">3H", 1799, 2056, 2313) * 4, None, [[7, 8, 9]] * 4),
    (16, 2, struct.pack(">3H", 1799, 2056, 2313) * 4, b"\7\7\x08\x08\x09\x09", [[255] * 3] * 4),
  ],
)
def test_png_of_every_depth_on_white(depth, colour, row, clear, want):
  content = raw_png(depth, colour, row, 4, clear)
  check(content, np.asarray([want]), channels=3 if colour == 2 else 1)


def test_late_exif_changes_no_level():
  whole = raw_png(2, 0, b"\x1b", 4, b"\0\1")
  at = whole.index(b"IEND") - 4
  late = whole[:at] + chunk(b"eXIf", exif(3).removeprefix(b"Exif\0\0")) + whole[at:]
  check(late, np.asarray([[255, 170, 255, 0]]), channels=1)


@pytest.mark.parametrize(
  "content, want",
  [
    (b"P5 3 1 4095\n" + struct.pack(">3H", 0, 100, 4095), [0, 6, 255]),
    (b"P5 3 1 65535\n" + struct.pack(">3H", 0, 25700, 65535), [0, 100, 255]),
    (b"P5 3 1 100\n" + bytes([0, 50, 100]), [0, 128, 255]),
    (saved("tiff", np.uint16([[0, 25700, 65535]])), [0, 100, 255]),
    (saved("tiff", np.uint16([[0, 25700, 65535]]), tiffinfo={262: 0}), [255, 155, 0]),
  ],
)
def test_grey_of_more_than_8_bits_has_the_range_that_its_file_says(content, want):
  check(content, np.asarray([want]), channels=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_header_and_pixels_agree_on_size_and_channels(mode):
  tried = 0
  for kind in ("tiff", "png", "jpeg", "webp", "gif", "bmp", "ppm", "jpeg2000", "tga", "ico", "sgi"):
    file = io.BytesIO()
    try:
      Image.new(mode, (16, 9)).save(file, kind)
    except (OSError, ValueError):
      continue  # the format has no such mode
    found = read(file)
    assert shape_of(file, Preprocessing(channels=0)) == (*found.shape, 1)[:3], kind
    tried += 1
  assert tried > 1


@pytest.mark.parametrize(
  "pixels, says",
  [
    (Image.fromarray(np.int32([[0, 9, 2**20]])), "signed integers of unknown range"),
    (Image.fromarray(np.float32([[0, 0.5]])), "float pixels of unknown range"),
    (Image.new("LAB", (2, 2)), "its pixels are LAB; expected grey, RGB, CMYK or YCbCr"),
  ],
)
def test_ranges_that_are_not_known_are_refused(tmp_path, pixels, says):
  path = tmp_path / "x.tiff"
  pixels.save(path)
  for reader in (read, lambda p: shape_of(p, Preprocessing(resize=(4, 4)))):
    with pytest.raises(UserError, match=f"x.tiff .*{says}"):
      reader(path)


def test_unsigned_integers_of_32_bits_are_refused(tmp_path):
  path, signed = tmp_path / "x.tiff", struct.pack("<HHIHH", 339, 3, 1, 2, 0)
  content = saved("tiff", np.int32([[0, 9, 2**20]]))
  assert signed in content
  path.write_bytes(content.replace(signed, struct.pack("<HHIHH", 339, 3, 1, 1, 0)))
  with pytest.raises(
    UserError, match="its pixels are 32-bit integers of unknown range; expected 8"
  ):
    read(path)


def test_a_strip_that_a_resize_would_make_gigapixels(tmp_path):
  path = tmp_path / "strip.png"
  Image.new("L", (60_000, 1)).save(path)
  with pytest.raises(UserError, match="strip.png: an image of 1x60000 would become 224x13440000"):
    shape_of(path, Preprocessing(resize=224))

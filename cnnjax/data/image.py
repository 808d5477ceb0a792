"""Images on the host: they are read from files, and resized and cropped for a network."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from cnnjax.data import pixels
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.stream import Stream
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing


def read(file: str | Path | BinaryIO, name: str = "") -> np.ndarray:
  """Returns the pixels of an image file as uint8 [H, W] if it is grey, else [H, W, 3].

  EXIF rotation is applied, 16-bit grey is scaled to 8 bits, and transparent pixels become white. Of
  several frames or pages the first is read.

  Raises: UserError with the name of a file that is missing, no image, damaged, or too large to
    decode.
  """
  with open_image(file, name) as image:
    return np.asarray(pixels.plain(image))


def read_fit(file: str | Path | BinaryIO, to: Preprocessing, name: str = "") -> np.ndarray:
  """Returns fit([read(file)], to)[0], but faster: it makes the array after the resize."""
  with open_image(file, name) as image:
    image = pixels.plain(image)
    if to.channels == 1:
      image = image.convert("L")
    size = _target(image.size[::-1], to.resize)
    if size != image.size[::-1]:
      image = image.resize(size[::-1], Image.Resampling[to.interpolation.upper()])
    return _crop(_channels(np.asarray(image), to.channels), to.crop)


def shape_of(
  file: str | Path | BinaryIO, to: Preprocessing, name: str = ""
) -> tuple[int, int, int]:
  """Returns the shape that an image file has after `read` and `fit`, from its header alone.

  Where the channels of `to` are 0, they are the file's, 1 or 3.

  Raises: UserError as `read` does, except for damage behind the header.
  """
  with open_image(file, name) as image:
    own = pixels.channels(image)
    channels = to.channels or own
    if to.shape:
      return (*to.shape[:2], channels)
    return (*_target(pixels.size(image), to.resize), channels)


def has_frames(file: str | Path) -> bool:
  """Returns whether an image file holds more than the one frame or page that `read` returns.

  What is damaged behind the first is no frame.
  """
  try:
    with open_image(file) as image:
      return bool(getattr(image, "is_animated", False))
  except UserError:
    return False


@contextmanager
def open_image(file: str | Path | BinaryIO, name: str = "") -> Iterator[Image.Image]:
  """Yields an open image file. Raises: UserError, with its name or path, for any error in it."""
  name = name or str(file)
  try:
    with Image.open(file, formats=_formats()) as image:
      if image.mode == "F":
        raise UserError(f"{name} holds float pixels of unknown range; expected 8 or 16 bits")
      yield image
  except UserError as error:
    raise (error if name in str(error) else UserError(f"{name}: {error}")) from None
  except FileNotFoundError:
    raise UserError(f"no image file at {name}") from None
  except UnidentifiedImageError:
    raise UserError(f"{name} is no image that Pillow can read") from None
  except Image.DecompressionBombError:
    limit = 2 * Image.MAX_IMAGE_PIXELS  # a small file can hold gigapixels, and fill the memory
    raise UserError(
      f"{name} would decode to more than {limit:,} pixels, the limit (2 PIL.Image.MAX_IMAGE_PIXELS)"
    ) from None
  except Exception as error:  # a decoder of a damaged file: struct.error, TypeError, KeyError, ...
    what = str(error) or type(error).__name__
    raise UserError(f"{name} cannot be read as an image: {what}") from error


@cache
def _formats() -> list[str]:
  """Returns Pillow's formats of `SUFFIXES`; some others start programs, or are no images."""
  Image.init()
  found = dict.fromkeys(Image.EXTENSION.get(suffix) for suffix in SUFFIXES)  # frequent ones first
  return [kind for kind in found if kind in Image.OPEN]


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
  """Returns a uint8 image [H, W] or [H, W, 3] scaled down so that no side is longer than `side`."""
  small = Image.fromarray(image)
  small.thumbnail((side, side))
  return np.asarray(small)


def to_bytes(image: np.ndarray) -> np.ndarray:
  """Returns pixels of any shape as uint8. Raises: UserError for floats outside 0 to 1."""
  image = np.asarray(image)
  if image.dtype == np.uint8:
    return image
  if not np.issubdtype(image.dtype, np.floating):
    raise UserError(f"an image must be uint8, or float from 0 to 1; found {image.dtype}")
  if image.size and not (image.min() >= 0 and image.max() <= 1):  # false for NaN too
    raise UserError(
      f"a float image must lie between 0 and 1; found {image.min():g} to {image.max():g}"
    )
  return np.round(image * 255).astype(np.uint8)


def fit(images: np.ndarray | Sequence[np.ndarray], to: Preprocessing) -> np.ndarray:
  """Returns images of one size or several, resized and cropped, as uint8 [N, H, W, to.channels].

  Each is uint8, or float from 0 to 1, of shape [H, W], [H, W, 1], [H, W, 3] or [H, W, channels].

  Raises: UserError for an array that is no image, or a single one that is not in a list.
  """
  check_several(images)
  if isinstance(images, np.ndarray) and images.ndim == 4 and _fits(images, to):
    return _crop(images, to.crop)
  fitted = [_crop(_resize(_channels(to_bytes(i), to.channels), to), to.crop) for i in images]
  sizes = {image.shape for image in fitted}
  if len(sizes) > 1:
    raise UserError(f"images of different sizes {sorted(sizes)} need a resize to make a batch")
  return np.stack(fitted) if fitted else np.zeros((0, *(to.shape or (0, 0, 0))), np.uint8)


def check_several(images: np.ndarray | Sequence[np.ndarray]) -> None:
  """Raises: UserError for an array that is one image."""
  alone = isinstance(images, np.ndarray) and images.ndim < 4
  if alone and (images.ndim < 3 or images.shape[2] in (1, 3)):
    raise UserError(f"expected several images, found one array {images.shape}; put it in a list")


def prepare(table: Table, to: Preprocessing) -> Table:
  """Returns the table with its images resized and cropped for the network: uint8 [N, H, W, C]."""
  images = table.columns["image"]
  if isinstance(images, Stream):
    size = to.crop or _target(images.row[:2], to.resize)
    return table.replace(image=images.map(partial(fit, to=to), (*size, to.channels)))
  return table.replace(image=fit(images, to))


def _fits(images: np.ndarray, to: Preprocessing) -> bool:
  ready = images.dtype == np.uint8 and images.shape[3] == to.channels and 0 not in images.shape[1:]
  return ready and _target(images.shape[1:3], to.resize) == images.shape[1:3]


def _channels(image: np.ndarray, channels: int) -> np.ndarray:
  """[H, W] or [H, W, C] -> [H, W, channels]: colour becomes grey, grey is repeated."""
  if image.ndim == 2:
    image = image[..., None]
  if image.ndim != 3 or image.shape[2] not in (1, 3, channels) or 0 in image.shape:
    raise UserError(f"an image must be [H, W], [H, W, 1] or [H, W, 3]; found {image.shape}")
  if image.shape[2] == channels:
    return image
  if image.shape[2] == 3 and channels == 1:
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]
  if image.shape[2] == 1:
    return np.repeat(image, channels, axis=2)
  raise UserError(f"an image of {image.shape[2]} channels cannot be given {channels}")


def _target(size: tuple[int, int], resize: tuple[int, int] | int | None) -> tuple[int, int]:
  """Returns (height, width) after a resize; one number is the length of the shorter side.

  Raises: UserError for a strip that becomes larger than Pillow would decode.
  """
  if isinstance(resize, int):
    (height, width), short = size, min(size)
    target = (resize * height // short, resize * width // short)
    if math.prod(target) > 2 * Image.MAX_IMAGE_PIXELS:
      raise UserError(
        f"an image of {height}x{width} would become {target[0]}x{target[1]} by a resize of its "
        f"shorter side to {resize}; set data.resize to (height, width)"
      )
    return target
  return resize or size


def _resize(image: np.ndarray, to: Preprocessing) -> np.ndarray:
  size = _target(image.shape[:2], to.resize)
  if image.shape[:2] == size:
    return image
  method = Image.Resampling[to.interpolation.upper()]
  if image.shape[2] == 3:  # gives the same pixels as each channel alone, but faster
    return np.asarray(Image.fromarray(image).resize(size[::-1], method))
  bands = [Image.fromarray(band) for band in np.moveaxis(image, 2, 0)]
  return np.stack([np.asarray(b.resize(size[::-1], method)) for b in bands], axis=2)


def _crop(images: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
  """Cuts [..., H, W, C] to `size` around the centre; adds zeros where it is larger."""
  if size is None:
    return images
  for axis, want in zip((-3, -2), size):
    have = images.shape[axis]
    if have >= want:
      start = round((have - want) / 2)  # as torchvision does
      images = np.take(images, np.arange(start, start + want), axis)
    else:
      pad = [(0, 0)] * images.ndim
      pad[axis] = ((want - have) // 2, want - have - (want - have) // 2)
      images = np.pad(images, pad)
  return images

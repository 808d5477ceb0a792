"""Images of any size, resized and padded to the few shapes that a detector is compiled for."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cnnjax.data.image import check_several, fit
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing


class Frame(NamedTuple):
  """Images of one shape: their indices [n] among all images, pixels [n, H, W, C] from 0 to 255.

  `extent` [n, 2] is the (height, width) of the part that is not padding, and `scale` [n, 2] the
  ratio of the extent to the size of the user's image.
  """

  places: np.ndarray
  image: np.ndarray
  extent: np.ndarray
  scale: np.ndarray


def frames(images: Sequence[np.ndarray], to: Preprocessing, most: int) -> Iterator[Frame]:
  """Yields images resized and padded, those of one shape together.

  Args:
    images: [H, W] or [H, W, C] of any size, of the types that `image.fit` takes.
    to: the network's preprocessing, without a crop.
    most: largest number of images in a frame.

  Raises: UserError as `image.fit` does, and where `to` crops.
  """
  if to.crop:
    raise UserError("a detector sees whole images; its preprocessing must not crop")
  check_several(images)
  groups = defaultdict(list)
  for place, image in enumerate(images):
    if np.ndim(image) not in (2, 3) or 0 in np.shape(image):
      raise UserError(f"an image must be [H, W] or [H, W, C]; found {np.shape(image)}")
    size = resized(np.shape(image)[:2], to)
    filled = tuple(-(-length // to.multiple) * to.multiple for length in size)
    groups[filled].append((place, size))
  for filled, members in groups.items():
    for start in range(0, len(members), most):
      places, sizes = zip(*members[start : start + most])
      yield Frame(
        np.asarray(places),
        np.stack([_fill(_resize(images[p], s, to), filled, to) for p, s in zip(places, sizes)]),
        np.asarray(sizes, np.float32),
        np.asarray([np.divide(s, np.shape(images[p])[:2]) for p, s in zip(places, sizes)]),
      )


def resized(size: tuple[int, int], to: Preprocessing) -> tuple[int, int]:
  """Returns the (height, width) after the resize of an image of this size."""
  if not isinstance(to.resize, int):
    return to.resize or size
  factor = to.resize / min(size)
  if to.longest:
    factor = min(factor, to.longest / max(size))
  if to.longest == to.resize:  # the longer side's length: rounded as Segment Anything's authors do
    return tuple(max(1, int(length * factor + 0.5)) for length in size)
  return tuple(max(1, int(length * factor)) for length in size)  # rounded down, but not to nothing


def _resize(image: np.ndarray, size: tuple[int, int], to: Preprocessing) -> np.ndarray:
  """Returns an image resized to `size`, [H, W, C]: float32 without antialiasing, else uint8."""
  if to.interpolation != "linear":
    return fit([image], replace(to, resize=size))[0]
  pixels, image = fit([image], Preprocessing(channels=to.channels))[0], np.asarray(image)
  if np.issubdtype(image.dtype, np.floating) and image.shape == pixels.shape:
    pixels = 255 * image  # floats are not rounded to bytes
  return linear(pixels, size)


def linear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Returns an image [H, W, C] resized by bilinear interpolation, as float32.

  It does not antialias, like PyTorch's `interpolate` by default.
  """
  image = image.astype(np.float32)
  for axis, (have, want) in enumerate(zip(image.shape, size)):
    place = np.maximum((np.arange(want, dtype=np.float32) + 0.5) * np.float32(have / want) - 0.5, 0)
    low = np.minimum(place.astype(int), have - 1)
    part = (place - low).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
    high = np.minimum(low + 1, have - 1)
    image = (1 - part) * image.take(low, axis) + part * image.take(high, axis)
  return image


def _fill(image: np.ndarray, size: tuple[int, int], to: Preprocessing) -> np.ndarray:
  """Returns an image padded below and to the right with the value that is 0 once normalised."""
  if image.shape[:2] == size:
    return image
  empty = 255 * np.broadcast_to(np.asarray(to.mean, np.float32), (*size, image.shape[2]))
  filled = empty.astype(np.float32)
  filled[: image.shape[0], : image.shape[1]] = image
  return filled

"""Images as input: uint8 [H, W, C], from files in any format that Pillow reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data import window
from cnnjax.data.augment import augment, check  # noqa: F401, functions of the kind
from cnnjax.data.stream import Stream
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing, normalize

COLUMNS = ("image",)
SUFFIXES = (  # of the formats that Pillow reads, those in which people keep images
  *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".gif"),
  *(
    ".tif",
    ".tiff",
    ".bmp",
    ".dib",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".jp2",
    ".j2k",
    ".j2c",
    ".jpx",
  ),
  *(".jpf", ".jpc", ".tga", ".pcx", ".sgi", ".ras", ".psd", ".dds", ".ico", ".qoi"),
)


def preprocessing(data: Any) -> Preprocessing:
  """Returns the preprocessing of a config's `data` section, which may not be complete yet.

  Raises: UserError for a resize or a crop that is no size, or leaves images of different sizes.
  """
  resize, crop = _size("resize", data.resize, (0, 1, 2)), _size("crop", _crop(data), (0, 2))
  if len(resize) == 1 and not crop:
    raise UserError(
      f"data.resize {resize[0]} is the length of the shorter side; set data.crop to "
      "(height, width) too, for images of one size"
    )
  return Preprocessing(
    resize=(resize[0] if len(resize) == 1 else resize) or None,
    crop=crop or None,
    channels=data.channels,
    mean=tuple(data.mean),
    std=tuple(data.std),
    interpolation=data.interpolation,
    tile=_size("tile", getattr(data, "tile", ()), (0, 2)) or None,
    overlap=getattr(data, "overlap", 0.5),
  )


def _crop(data: Any) -> Any:
  return getattr(data, "crop", ())  # which images with prompts do not have


def _size(key: str, value: Any, lengths: tuple[int, ...]) -> tuple[int, ...]:
  value = (value,) if isinstance(value, int) else tuple(value)
  if len(value) not in lengths or not all(isinstance(v, int) and v > 0 for v in value):
    raise UserError(f"data.{key} must be (height, width) in pixels, or (); found {value}")
  return value


def complete(data: Any, table: Table) -> dict[str, Any]:
  """Returns size, channels, mean and deviation: those in `data`, else the training images'.

  With `data.tile` the size stays (): images keep the scale that they have.

  Raises: UserError for windows that are larger than the images.
  """
  height, width, channels = table.columns["image"].shape[1:]
  found, tile = {"channels": data.channels or channels}, getattr(data, "tile", ())
  if tile and (tile[0] > height or tile[1] > width):
    raise UserError(
      f"data.tile {tuple(tile)} is larger than the images, {height}x{width}; expected at most that"
    )
  if not data.resize and not _crop(data) and not tile:
    found["resize"] = (height, width)
  if not data.mean and not data.std:
    same = found["channels"] == channels
    seen = table if same else prepare(table, Preprocessing(channels=data.channels))
    found["mean"], found["std"] = moments(seen)
  return found


def moments(table: Table) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Returns each channel's mean and standard deviation over a table's images, scaled to 0..1."""
  image = table.columns["image"]
  return of_counts(sum(image.each(counts)) if isinstance(image, Stream) else counts(0, image))


def of_counts(counts: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Returns each channel's mean and deviation, scaled to 0..1, from how often each level occurs."""
  levels = np.arange(256) / 255
  mean = [float(np.average(levels, weights=n)) for n in counts]
  var = [float(np.average((levels - m) ** 2, weights=n)) for n, m in zip(counts, mean)]
  return tuple(round(m, 6) for m in mean), tuple(round(max(v**0.5, 1e-3), 6) for v in var)


def counts(start: int, image: np.ndarray) -> np.ndarray:
  """Returns each channel's histogram over the 256 levels, [C, 256], of images [..., C]."""
  del start
  channels = np.moveaxis(image, -1, 0)
  return np.stack([np.bincount(channel.ravel(), minlength=256) for channel in channels])


def prepare(table: Table, to: Preprocessing) -> Table:
  """Returns the table with its images resized and cropped: uint8 [N, H, W, C]."""
  from cnnjax.data import image  # Pillow: not needed to build and train

  return image.prepare(table, to)


def empty(to: Preprocessing) -> jax.Array:
  """Returns a black image, or window of one, [1, H, W, C]."""
  return jnp.zeros((1, *(to.tile or to.shape[:2]), to.channels), jnp.float32)


def seen(key: jax.Array, batch: dict[str, Any], to: Preprocessing) -> dict[str, Any]:
  """Returns random windows of the images, with their class maps, or whole images."""
  return window.cut(key, batch, to.tile) if to.tile else batch


def scale(batch: dict[str, Any], to: Preprocessing) -> dict[str, Any]:
  """Returns the batch with its bytes as float32, (pixel / 255 - mean) / std."""
  return {**batch, "image": normalize(batch["image"], to)}


def read(batch: dict[str, Any]) -> jax.Array:
  """Returns the images [B, H, W, C]."""
  return batch["image"]


def load(path: Path, to: Preprocessing) -> dict[str, np.ndarray]:
  """Returns {path: image} of a file. Raises: UserError for a file that is no image."""
  from cnnjax.data import image

  del to
  return {str(path): image.read(path)}


def fit(examples: np.ndarray | Sequence[np.ndarray], to: Preprocessing) -> dict[str, np.ndarray]:
  """Returns images resized and cropped. Raises: UserError for an array that is no image."""
  from cnnjax.data import image

  return {"image": image.fit(examples, to)}


def invert(example: np.ndarray) -> np.ndarray:
  """Returns an image with light and dark exchanged."""
  return 255 - example


def picture(example: np.ndarray, side: int) -> np.ndarray:
  """Returns an image scaled down so that no side is longer than `side`."""
  from cnnjax.data import image

  return image.thumbnail(example, side)


def flat(
  example: np.ndarray, maps: Sequence[np.ndarray], spacing: Sequence[float] | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Returns an image's bytes and its class maps; of smaller maps, the middle of the image."""
  from cnnjax.data import image

  del spacing
  high, wide = ((a - b) // 2 for a, b in zip(example.shape, maps[0].shape))
  part = example[high : high + maps[0].shape[0], wide : wide + maps[0].shape[1]]
  return image.to_bytes(part), list(maps)

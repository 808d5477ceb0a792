"""Proposals, windows that may hold an object: by selective search, or from a file."""

import hashlib
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.stream import PART
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say, unknown

SEARCH = "selective_search"
MODES = {  # OpenCV's; they differ in the segmentations and similarities by which windows merge
  "fast": "switchToSelectiveSearchFast",
  "quality": "switchToSelectiveSearchQuality",
  "single": "switchToSingleStrategy",
}
FEW = 8  # so few images are searched in this process: new processes would take longer to start


class Wanted(NamedTuple):
  """The options of `find`."""

  source: str = ""
  most: int = 500
  mode: str = "fast"

  @property
  def file(self) -> Path | None:
    """The file to read; None to search."""
    return None if self.source == SEARCH else Path(self.source).expanduser()


def _wanted(options: Mapping[str, Any]) -> Wanted:
  for key in options.keys() - set(Wanted._fields):
    raise unknown("config key", f"data.proposals.{key}", Wanted._fields)
  wanted = Wanted(**options)
  if not isinstance(wanted.most, int) or wanted.most < 1:
    raise UserError(f"data.proposals.most must be a whole number above 0; found {wanted.most!r}")
  if wanted.mode not in MODES:
    raise unknown("data.proposals.mode", str(wanted.mode), MODES)
  if wanted.source != SEARCH and not str(wanted.source).endswith(".npz"):
    raise unknown("data.proposals.source", str(wanted.source), [SEARCH, "FILE.npz"])
  return wanted


def add(splits: Mapping[str, Table], seed: int, **options: Any) -> dict[str, Table]:
  """Returns the tables with the columns of `find`; results of the search are cached.

  The cache lies in $XDG_CACHE_HOME or ~/.cache, with one file for each set of images, named by a
  hash of their pixels.

  Raises: UserError as `find` does.
  """
  of = _wanted(options)
  return {name: table.replace(**_columns(table, name, seed, of)) for name, table in splits.items()}


def _columns(table: Table, name: str, seed: int, of: Wanted) -> dict[str, np.ndarray]:
  images = table.columns["image"]
  digests = [digest(image) for image in _each(images)]
  file = of.file or _cached(digests, of.mode)
  if not of.file and not file.exists():
    say(f"selective search in {len(images)} images ({name})")
    _write(file, digests, search(images, of.mode))
  return _placed(_read(file, digests, f"the {name} split"), digests, seed, of.most)


def find(images: np.ndarray, *, seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
  """Returns proposals float32 [N, R, 4] and proposed float32 [N, R] of images uint8 [N, H, W, C].

  Args:
    images: at the size at which the network reads them.
    seed: of the random order of an image's windows, of which the first R are taken.
    options: `source`: "selective_search" (Uijlings et al., IJCV 2013), or a file that `save` wrote;
      `most`: R, by default 500; `mode` of the search: "fast", the default, "quality" or "single".

  Raises: UserError for an unknown option, for a file that lacks an image, and without OpenCV.
  """
  of, digests = _wanted(options), [digest(image) for image in images]
  boxes = _read(of.file, digests, "those given") if of.file else search(images, of.mode)
  return _placed(boxes, digests, seed, of.most)


def search(images: Any, mode: str = "fast") -> list[np.ndarray]:
  """Returns the windows [K, 4] that selective search finds in each of images uint8 [N, H, W, C].

  OpenCV returns the same windows in a different order each time; here they are sorted.

  Raises: UserError where OpenCV is not installed.
  """
  _opencv()
  one = partial(_search, mode=mode)
  if len(images) <= FEW:
    return list(map(one, _each(images)))
  with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
    parts = range(0, len(images), PART)
    return list(chain.from_iterable(pool.map(one, images[n : n + PART]) for n in parts))


def _search(image: np.ndarray, mode: str) -> np.ndarray:
  if image.shape[-1] not in (1, 3):
    raise UserError(f"selective search takes images of 1 or 3 channels; found {image.shape}")
  rgb = np.broadcast_to(image, (*image.shape[:2], 3))
  engine = _opencv().ximgproc.segmentation.createSelectiveSearchSegmentation()
  engine.setBaseImage(np.ascontiguousarray(rgb[..., ::-1]))
  getattr(engine, MODES[mode])()
  corner, side = np.split(np.unique(np.asarray(engine.process()).reshape(-1, 4), axis=0), 2, 1)
  return np.concatenate([corner, corner + side], 1).astype(np.float32)


def _opencv() -> Any:
  try:
    import cv2

    cv2.ximgproc  # noqa: B018  opencv-python alone does not have it
  except (ImportError, AttributeError):
    raise UserError(
      "selective search needs OpenCV with its contributed modules: pip install 'cnnjax[proposals]'"
    ) from None
  return cv2


def digest(image: np.ndarray) -> bytes:
  """Returns the SHA-256 of an image's shape and pixels [H, W, C], by which files know it."""
  return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()


def save(file: str | Path, images: np.ndarray, boxes: Sequence[np.ndarray]) -> None:
  """Writes a file for `source`: windows [K, 4], in pixels, of each of images uint8 [N, H, W, C].

  One file can hold the images of all splits: an image is found by the hash of its pixels.
  """
  if len(images) != len(boxes):
    raise UserError(f"expected windows for each of {len(images)} images; found {len(boxes)}")
  for place, own in enumerate(map(np.asarray, boxes)):
    if own.ndim != 2 or own.shape[1:] != (4,) or not (own[:, :2] < own[:, 2:]).all():
      raise UserError(
        f"windows must be [K, 4], x0 < x1 and y0 < y1; those of image {place} are not"
      )
  _write(Path(file), [digest(image) for image in images], boxes)


def _write(file: Path, digests: list[bytes], boxes: Sequence[np.ndarray]) -> None:
  scratch = file.with_name(f"{file.name}.{os.getpid()}")
  file.parent.mkdir(parents=True, exist_ok=True)
  try:
    with scratch.open("wb") as out:
      np.savez(
        out,
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        counts=np.asarray([len(own) for own in boxes], np.int64),
        boxes=np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float32),
      )
    scratch.replace(file)
  finally:
    scratch.unlink(missing_ok=True)


def _read(file: Path, digests: list[bytes], what: str) -> list[np.ndarray]:
  """Returns the windows that a file holds for these images. Raises: UserError where one lacks."""
  try:
    with np.load(file, allow_pickle=False) as held:
      known, counts, boxes = held["digests"], held["counts"], held["boxes"]
    parts = np.split(boxes.reshape(-1, 4), np.cumsum(counts)[:-1])
    there = dict(zip(map(bytes, known), parts, strict=True))
  except FileNotFoundError:
    raise UserError(f"no file of proposals at {file}") from None
  except Exception as error:  # zipfile and numpy raise errors of many types
    raise UserError(
      f"{file} cannot be read as proposals; expected what cnnjax.data.proposals.save wrote: {error}"
    ) from error
  missing = [n for n, key in enumerate(digests) if key not in there]
  if missing:
    raise UserError(
      f"{file} holds proposals for another image set: of the {len(digests)} of {what} it "
      f"lacks {len(missing)}, the first at place {missing[0]} (images are known after data.resize)"
    )
  return [there[key] for key in digests]


def _placed(
  boxes: list[np.ndarray], digests: list[bytes], seed: int, most: int
) -> dict[str, np.ndarray]:
  """Returns the columns: `most` windows of each image, drawn by the seed and the image's hash."""
  proposals = np.zeros((len(boxes), most, 4), np.float32)
  for place, (every, key) in enumerate(zip(boxes, digests)):
    order = np.random.default_rng([seed, int.from_bytes(key[:8])]).permutation(len(every))
    chosen = every[order[:most]]
    proposals[place, : len(chosen)] = chosen
  counts = np.asarray([min(len(every), most) for every in boxes])
  return {
    "proposals": proposals,
    "proposed": (np.arange(most) < counts[:, None]).astype(np.float32),
  }


def _cached(digests: list[bytes], mode: str) -> Path:
  """Returns the cache file for the results of the search in these images."""
  home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
  key = hashlib.sha256(b"".join(digests) + f"{mode} {_opencv().__version__}".encode())
  return home / "cnnjax" / "proposals" / f"{key.hexdigest()[:32]}.npz"


def _each(images: Any) -> Any:
  """Yields the images of a column; of a stream it reads `PART` at a time."""
  return chain.from_iterable(images[n : n + PART] for n in range(0, len(images), PART))

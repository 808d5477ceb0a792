"""Volumes prepared for a network that sees windows of them: in memory, or mapped from a folder."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data import voxels
from cnnjax.data.patches import Volumes, places_of
from cnnjax.data.stream import Stream, by_threads, check_memory
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.volume import VolumePreprocessing

HOW = "name a folder for them on a disk: 'cache': FOLDER in data.arguments"


def windows(table: Table, to: VolumePreprocessing) -> Table:
  """Returns a table of volumes of which a training sees windows, and an evaluation the whole.

  Its `volume` is prepared as `to` says. Its `segments`, where there are any, are drawn at the
  prepared voxels, and read as the source has them.

  Raises: UserError where the volumes do not fit into the memory, and no folder for them is named.
  """
  columns, spacing, count = table.columns, table.columns["spacing"], len(table)
  raw, truth = columns["volume"], columns.get("segments")
  source = raw.read
  sizes = [voxels.size_at(*one, to) for one in zip(columns["size"].tolist(), spacing.tolist())]
  keep = _mapped(source, to) if source.cache else lambda row, what, make: make()
  if not source.cache:
    voxel = np.prod(np.asarray(sizes, float), 1).mean().round().astype(int)
    check_memory("volumes of voxels", (count, int(voxel), to.channels, 5), HOW)

  def one(n: int) -> tuple:
    make = lambda: voxels.prepared(raw[n : n + 1][0], spacing[n], to)  # noqa: E731
    volume = keep(raw.indices[n], "volume", make)
    if truth is None:
      return volume, None, []
    make = lambda: voxels.nearest(truth[n : n + 1][0], sizes[n])  # noqa: E731
    labels = keep(raw.indices[n], "segments", make)
    rng = np.random.default_rng([source.seed, int(raw.indices[n])])
    return volume, labels, places_of(np.asarray(labels), rng)

  parts = [list(part) for part in zip(*by_threads(one, range(count)))]
  ready = Volumes(*parts, source.seed, to.tile, to.foreground)
  row = (*np.max(sizes, 0).tolist(), raw.shape[-1])
  options = dict(by="threads", ragged=True, dtype=np.dtype(np.float32))
  found = {"volume": Stream(ready.read, np.arange(count), row, draw=ready.draw, **options)}
  if truth is not None:
    options |= {"draw": ready.draw_labels, "dtype": truth.dtype}
    found["segments"] = Stream(truth.__getitem__, np.arange(count), truth.row, **options)
  return table.replace(**found)


def _mapped(source: Any, to: VolumePreprocessing) -> Callable:
  """Returns (row, what, make) -> make() as a memory map of a file in `source.cache`, made once.

  The file's name is drawn from the row's key and from what prepares the volume, so that another
  preprocessing makes files of its own.
  """
  folder = Path(source.cache).expanduser()
  how = (to.spacing, to.normalize, to.clip, to.mean, to.std)

  def kept(row: int, what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    name = hashlib.sha256(json.dumps([source.key(row), what, how]).encode()).hexdigest()[:24]
    path = folder / f"{name}.npy"
    try:
      if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        with scratch.open("wb") as file:
          np.save(file, make())
        scratch.replace(path)
      return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
      raise UserError(f"{path} cannot be written or read: {error}") from error

  return kept

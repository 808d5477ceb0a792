"""Several data sets together, an object a row: an image, the object's mask, and a box around it.

Instances, class maps and volumes are read by the readers that stand; of a volume, axial slices are
taken.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data import fake, image, instances, scenes, segmentation, solids, volumes
from cnnjax.data.masks import nearest
from cnnjax.data.split import SPLITS, hold_out
from cnnjax.data.stream import by_threads, check_memory
from cnnjax.data.table import Table
from cnnjax.data.voxels import grey
from cnnjax.errors import UserError, say, some, unknown
from cnnjax.ops.prompted import PromptedPreprocessing, enclosing, moved
from cnnjax.ops.segmentation import VOID
from cnnjax.ops.volume import VolumePreprocessing

READERS = {  # of `data/catalogue.py`: those whose tables have `ids` or `segments`
  "camvid": segmentation.camvid,
  "fake": partial(fake.load, label="segments"),
  "instances": instances.load,
  "scenes": partial(scenes.load, masks=True),
  "segmentation": segmentation.load,
  "solids": solids.load,
  "voc_segmentation": segmentation.voc,
  "volumes": volumes.load,
  "white_blood_cells": segmentation.white_blood_cells,
}
OWN = ("fake", "solids")  # readers that do not resize


@dataclass(frozen=True)
class Source:
  """One data set: its name, reader and root, and options of the reader; and what is an object.

  Attributes:
    objects: rows of names of classes, which together are one object; () for each class but the
      first.
  """

  name: str
  reader: str
  root: str
  options: Mapping[str, Any] = field(default_factory=dict)
  objects: Sequence[Sequence[str]] = ()


class Object(NamedTuple):
  """An object: its image uint8 [H, W, C], its map uint8 [H, W], and what names it in its image."""

  image: np.ndarray
  segments: np.ndarray
  name: str


def load(
  root: str,
  seed: int,
  *,
  to: PromptedPreprocessing,
  validation: float,
  sets: Sequence[Sequence[Any]] = (),
  most: int = 8,
  least: int = 16,
  leave_out: Sequence[str] | str = (),
) -> dict[str, Table]:
  """Returns image, segments (1 the object, 0 not, `VOID`), box and label of each split.

  `label` is the number of the object's data set, and the classes are the sets' names. A box
  encloses its object, and each of its edges is moved at random, by `to.jitter`. The objects of an
  image, or a volume, are all in one split: a set's own, else those that its reader draws.

  Args:
    root: the folder to which the sets' roots are relative.
    seed: of all that is drawn. What is drawn of an image depends on its name alone.
    to: the run's preprocessing; it resizes to (height, width).
    validation: the part of the training images that are held out, the config's data.validation.
    sets: rows (name, reader, root), or (name, reader, root, options of the reader). `objects` among
      the options says by rows of classes' names which together are an object, such as
      (("nucleus",), ("nucleus", "cytoplasm")); by default each class but the first is one. Each id
      of instances is an object.
    most: largest number of objects of an image, or of a volume; they are drawn.
    least: smallest number of pixels of an object after the resize.
    leave_out: names of sets that are in no split but test.

  Raises: UserError for a set that is not of this form, and any error of a reader.
  """
  if not isinstance(to.resize, tuple):
    raise UserError(
      f"several data sets need one size: set data.resize to (height, width); found {to.resize}"
    )
  for name, value in (("most", most), ("least", least)):
    if not isinstance(value, int) or value < 1:
      raise UserError(
        f"data.arguments.{name} must be a whole number of at least 1; found {value!r}"
      )
  sources, to = _sources(sets), replace(to, channels=to.channels or 3)
  names = tuple(source.name for source in sources)
  leave_out = (leave_out,) if isinstance(leave_out, str) else tuple(leave_out)
  for name in leave_out:
    if name not in names:
      raise unknown("name in data.arguments.leave_out:", name, names)
  parts: dict[str, dict[int, Table]] = {}
  for label, source in enumerate(sources):
    splits = _read(source, Path(root), seed, to)
    if validation and "validation" not in splits:
      splits["train"], splits["validation"] = hold_out(splits["train"], validation, seed)
    lost = 0
    for split in [s for s in splits if s == "test" or source.name not in leave_out]:
      table, draw = splits[split], dict(seed=seed, most=most, least=least)
      find, named = partial(_found, source, table, to), partial(_name, source, split, table)
      found, small = _table(table, find, named, to, draw)
      lost += small
      if found is not None:
        parts.setdefault(split, {})[label] = found
    if lost:
      say(
        f"left out {lost} objects of {source.name} that have fewer than {least} pixels after the "
        "resize ('least' in data.arguments)"
      )
  for split in ("train", "test"):
    if split not in parts:
      raise UserError(f"the sets {some(names)} have no object of {least} pixels or more in {split}")
  return {split: _joined(parts[split], names) for split in SPLITS if split in parts}


def _sources(sets: Sequence[Sequence[Any]]) -> list[Source]:
  """Returns the rows of `sets`. Raises: UserError for one of another form."""
  sources = []
  for row in sets:
    given = isinstance(row, list | tuple) and len(row) in (3, 4)
    if not given or not all(isinstance(word, str) for word in row[:3]):
      raise UserError(
        "data.arguments.sets must be rows (name, reader, root) or (name, reader, root, options); "
        f"found {row!r}"
      )
    if row[1] not in READERS:
      raise unknown("reader in data.arguments.sets:", row[1], READERS)
    options = dict(row[3]) if row[3:] else {}
    sources.append(Source(*row[:3], options, options.pop("objects", ())))
  names = [source.name for source in sources]
  if not names or len(names) > len(set(names)):
    raise UserError(f"data.arguments.sets must have rows of different names; found {names}")
  return sources


def _read(source: Source, root: Path, seed: int, to: PromptedPreprocessing) -> dict[str, Table]:
  """Returns a set's splits, its images at the network's size. Raises: UserError of its reader."""
  options = dict(source.options)
  if source.reader == "volumes":
    options["to"] = VolumePreprocessing(channels=1)
  elif source.reader not in OWN:
    options["to"] = to
  where = str(root / source.root) if source.root else ""
  try:
    splits = READERS[source.reader](where, seed, **options)
  except TypeError as error:
    raise UserError(f"data.arguments.sets, {source.name}: {error}") from error
  if not {"ids", "segments"} & splits["train"].columns.keys():
    raise UserError(f"data.arguments.sets, {source.name}: its reader found no masks of objects")
  if any(table.streamed and not table.ragged for table in splits.values()):
    raise UserError(f"data.arguments.sets, {source.name}: 'stream' is not for sets of prompts")
  return splits


def _name(source: Source, split: str, table: Table, row: int) -> str:
  """Returns the name of an image among those of all sets."""
  return f"{source.name}/{split + str(row) if table.names is None else table.names[row]}"


def _found(source: Source, table: Table, to: PromptedPreprocessing, row: int) -> Iterator[Object]:
  """Yields all objects of a row of a set's table, at the network's size."""
  columns, size = table.columns, to.resize
  if "ids" in columns:
    ids = columns["ids"][row]
    for number in np.unique(ids[ids > 0]).tolist():
      yield Object(columns["image"][row], (ids == number).astype(np.uint8), str(number))
    return
  several, unions = "volume" in columns, _unions(source, table.classes)
  maps = columns["segments"][row : row + 1][0]
  pixels = _slices(columns["volume"][row : row + 1][0]) if several else columns["image"][row][None]
  for place, (one, own) in enumerate(zip(pixels, maps if several else maps[None])):
    there = [numbers for numbers in unions.values() if np.isin(own, numbers).any()]
    if there:
      shown, own = image.fit([one], to)[0], nearest(own, size)
      for name, numbers in unions.items():
        segments = np.where(own == VOID, VOID, np.isin(own, numbers)).astype(np.uint8)
        yield Object(shown, segments, f"{place} {name}" if several else name)


def _unions(source: Source, classes: Sequence[str]) -> dict[str, list[int]]:
  """Returns the numbers of the classes of each kind of object. Raises: UserError for no class."""
  rows = source.objects or [(name,) for name in classes[1:]]
  for row in rows:
    for name in row if isinstance(row, list | tuple) else [row]:
      if name not in classes:
        raise unknown(f"class in the objects of {source.name}:", name, classes)
  return {"+".join(row): [classes.index(name) for name in row] for row in map(_row, rows)}


def _row(row: Sequence[str] | str) -> tuple[str, ...]:
  return (row,) if isinstance(row, str) else tuple(row)


def _slices(volume: np.ndarray) -> np.ndarray:
  """Returns a volume's slices as images, uint8 [D, H, W, C], from black to white.

  Raises: UserError for a volume of other than 1 or 3 channels.
  """
  if volume.shape[-1] not in (1, 3):
    raise UserError(f"slices of volumes are images of 1 or 3 channels; found {volume.shape[-1]}")
  return grey(volume)


def _drawn(
  find: Callable[[int], Iterator[Object]], seed: int, most: int, least: int, row: int, name: str
) -> tuple[list[Object], np.ndarray, int]:
  """Returns a row's drawn objects, moves [K, 4] of their boxes, and how many were too small."""
  found = [one for one in find(row) if (one.segments == 1).any()]
  large = [one for one in found if np.sum(one.segments == 1) >= least]
  rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
  chosen = sorted(rng.permutation(len(large))[:most].tolist())
  named = [large[n]._replace(name=f"{name}#{large[n].name}") for n in chosen]
  return named, rng.uniform(-1, 1, (len(named), 4)), len(found) - len(large)


def _table(
  table: Table,
  find: Callable[[int], Iterator[Object]],
  named: Callable[[int], str],
  to: PromptedPreprocessing,
  draw: Mapping[str, int],
) -> tuple[Table | None, int]:
  """Returns the drawn objects of a set's table, labelled 0, and how many were too small.

  Where there are none, the table is None.
  """
  every = by_threads(lambda row: _drawn(find, row=row, name=named(row), **draw), range(len(table)))
  objects = [one for part, *_ in every for one in part]
  small = sum(lost for *_, lost in every)
  if not objects:
    return None, small
  how = "a smaller 'most' in data.arguments, or a smaller data.resize, needs less"
  check_memory("objects", (len(objects), *to.resize, to.channels + 1), how)
  segments = np.stack([one.segments for one in objects])
  moves = np.concatenate([moves for _, moves, _ in every]).astype(np.float32)
  columns = {
    "image": np.stack([one.image for one in objects]),
    "segments": segments,
    "box": np.asarray(moved(enclosing(segments), moves, to.jitter, to.resize)),
    "label": np.zeros(len(objects), np.int32),
  }
  names = np.asarray([one.name for one in objects], object)
  return Table(columns, names=names, drawn=True), small


def _joined(tables: Mapping[int, Table], classes: tuple[str, ...]) -> Table:
  """Returns the rows of the tables of some sets, which are labelled by their numbers."""
  tables = [one.replace(label=one.columns["label"] + n) for n, one in tables.items()]
  keys = tables[0].columns
  columns = {key: np.concatenate([one.columns[key] for one in tables]) for key in keys}
  names = np.concatenate([one.names for one in tables])
  return Table(columns, classes, names, drawn=True)

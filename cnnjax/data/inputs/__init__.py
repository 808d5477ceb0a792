"""The kinds of input: what an example is, from a file to what the network reads.

A kind is a module with `COLUMNS`, its keys in a table and a batch; `SUFFIXES`, of its files; and

- `preprocessing(data)`: the model's field `preprocessing`, from a config's `data` section;
- `complete(data, table)`: the keys of that section that are measured from the training split;
- `prepare(table, to)`: the table with its examples in the shape that the network reads;
- `empty(to)`: zeros [1, ...] with which a model's variables can be initialised;
- `check(options)`, `augment(key, batch, **options)`: a config's `augment` section;
- `scale(batch, to)`: the batch normalised, on the device;
- `read(batch)`: the arrays of a batch that the network reads;
- `load(path, to)`: the examples in a user's file, by their names;
- `fit(examples, to)`: columns of a user's examples, prepared for the network;
- `invert(example)`: the example with light and dark exchanged, where that has a meaning;
- `picture(example, side)`: an image of the example for people, uint8 [H, W] or [H, W, 3], with no
  side longer than `side`;
- where it is not the whole, `seen(key, batch, to)`: what the network sees of an augmented batch of
  a training: windows, or new prompts;
- where examples may have several parts that are scored one by one, `parts(batch)`: [K, B, ...];
- where they may have class maps, `flat(example, maps, spacing)`: an image uint8 [H, W] or
  [H, W, 3] that shows it, and the maps [H, W] in its pixels;
- where a map is no image, `save(segments, example, path)`: the path of the file that is written;
- where they move, `film(example, side)`: uint8 [T, H, W] or [T, H, W, 3], the pictures of a film;
- where a folder may be one example, `whole(path)`: whether this one is.

A new kind is a file here, a row below and its keys in `cnnjax/keys.py`; no other code depends on
the kind.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import jax

from cnnjax.data.inputs import clip, image, prompted, series, volume, volume_series
from cnnjax.errors import unknown

Batch = dict[str, Any]
INPUTS = {
  "prompted": prompted,  # of images, and so before them
  "image": image,
  "series": series,
  "clip": clip,
  "volume_series": volume_series,
  "volume": volume,
}  # a pair of kinds would come before its parts


def kind(name: str) -> ModuleType:
  """Returns a kind by its name. Raises: UserError for an unknown name."""
  if name not in INPUTS:
    raise unknown("data.input", name, INPUTS)
  return INPUTS[name]


def of_columns(columns: Iterable[str]) -> str:
  """Returns the name of the first kind whose columns are all there, "" for none."""
  return next((n for n, of_one in INPUTS.items() if {*of_one.COLUMNS} <= {*columns}), "")


def read(batch: Batch) -> Any:
  """Returns what the network reads of a batch."""
  return INPUTS[of_columns(batch)].read(batch)


def empty(preprocessing: Any) -> Any:
  """Returns an input with which a model of this preprocessing can be initialised."""
  return kind(preprocessing.input).empty(preprocessing)


def parts(batch: Batch) -> Batch | None:
  """Returns the columns of several parts of each example, [K, B, ...], such as a video's clips.

  It is None for a kind that has none, and where examples are whole.
  """
  of_one = INPUTS.get(of_columns(batch))
  return of_one.parts(batch) if hasattr(of_one, "parts") else None


def scale(batch: Batch, preprocessing: Any) -> Batch:
  """Returns the batch normalised for the network."""
  return kind(preprocessing.input).scale(batch, preprocessing)


def transform(key: jax.Array, batch: Batch, *, preprocessing: Any, options: Any) -> Batch:
  """Returns what the network sees of a training batch augmented by `options`, normalised."""
  of_one = kind(preprocessing.input)
  batch = of_one.augment(key, batch, **options)
  if hasattr(of_one, "seen"):  # augment brings in what lies beside it; it folds 2 and more in
    batch = of_one.seen(jax.random.fold_in(key, 1), batch, preprocessing)
  return of_one.scale(batch, preprocessing)

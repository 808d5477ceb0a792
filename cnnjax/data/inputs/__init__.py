"""The kinds of input: what an example is, from a file to what the network reads.

A kind is a module with `COLUMNS`, its keys of a table and a batch, the `SUFFIXES` of its files, and

- `preprocessing(data)`: the value that a config's `data` section means, a field of the model;
- `complete(data, table)`: the keys of that section that only the training split tells;
- `prepare(table, to)`: the table with its examples of the shape that the network wants;
- `empty(to)`: zeros [1, ...] that a model's variables can be made with;
- `check(options)`, `augment(key, batch, **options)`: a config's `augment` section;
- `scale(batch, to)`: the batch normalised, on the device;
- `read(batch)`: what the network reads of it;
- `load(path, to)`: the examples in a user's file, by their names;
- `fit(examples, to)`: columns of them, prepared;
- `invert(example)`: light for dark, where it means something;
- `picture(example, side)`: how a person sees one, uint8 [H, W] or [H, W, 3] of at most that side.

A new kind is a file here, a row below and its keys in `cnnjax/keys.py`; nothing else asks which
kind it is.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import jax

from cnnjax.data.inputs import image, series
from cnnjax.errors import unknown

Batch = dict[str, Any]
INPUTS = {"image": image, "series": series}  # a pair stands before what it is made of


def kind(name: str) -> ModuleType:
  """Returns a kind by its name. Raises: UserError for a name that is none."""
  if name not in INPUTS:
    raise unknown("data.input", name, INPUTS)
  return INPUTS[name]


def of_columns(columns: Iterable[str]) -> str:
  """Returns the name of the kind whose columns are there, "" for none."""
  return next((n for n, of_one in INPUTS.items() if {*of_one.COLUMNS} <= {*columns}), "")


def read(batch: Batch) -> Any:
  """Returns what the network reads of a batch."""
  return INPUTS[of_columns(batch)].read(batch)


def empty(preprocessing: Any) -> Any:
  """Returns an input that a model of this preprocessing can make its variables with."""
  return kind(preprocessing.input).empty(preprocessing)


def scale(batch: Batch, preprocessing: Any) -> Batch:
  """Returns the batch normalised to what the network reads."""
  return kind(preprocessing.input).scale(batch, preprocessing)


def transform(key: jax.Array, batch: Batch, *, preprocessing: Any, options: Any) -> Batch:
  """Returns a training batch changed at random as `options` say, and normalised."""
  of_one = kind(preprocessing.input)
  return of_one.scale(of_one.augment(key, batch, **options), preprocessing)

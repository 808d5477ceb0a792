"""Where examples come from: the one table of sources, and how they are split."""

import inspect
from typing import Any

import numpy as np

from cnnjax.data import fake, idx
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown


def digits(root: str, seed: int) -> dict[str, Table]:
  """Returns scikit-learn's 1,797 handwritten digits, 8x8 grey, split 80/20, stratified by seed."""
  del root
  from sklearn.datasets import load_digits

  data = load_digits()
  image = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
  everything = Table(
    {"image": image, "label": data.target.astype(np.int32)}, tuple(map(str, data.target_names))
  )
  train, test = hold_out(everything, 0.2, seed)
  return {"train": train, "test": test}


SOURCES = {  # name: (root, seed, **arguments) -> {"train": Table, "test": Table, ...}
  "digits": digits,
  "fake": fake.load,
  "idx": idx.load,
}


def load(data: Any, seed: int) -> dict[str, Table]:
  """Returns the splits that a config's `data` section names, the validation part held out.

  Raises: UserError for an unknown source, or whatever the source finds wrong.
  """
  if data.name not in SOURCES:
    raise unknown("data.name", data.name, SOURCES)
  source, arguments = SOURCES[data.name], dict(data.arguments)
  try:
    inspect.signature(source).bind(data.root, seed, **arguments)
  except TypeError as error:
    raise UserError(f"data.arguments of {data.name}: {error}") from error
  splits = source(data.root, seed, **arguments)
  for name, table in splits.items():
    if not len(table):
      raise UserError(f"the {name} split of {data.name} {data.root} holds no example")
  if data.validation and "validation" not in splits:
    splits["train"], splits["validation"] = hold_out(splits["train"], data.validation, seed)
  return splits


def hold_out(table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
  """Returns the table without, and with only, a random fraction of it, equal in each class.

  Raises: UserError where the fraction leaves a class without an example on either side.
  """
  from sklearn.model_selection import train_test_split

  if not 0 < fraction < 1:
    raise UserError(f"the fraction to hold out must lie between 0 and 1, found {fraction}")
  label, what = table.columns.get("label"), f"cannot hold out {fraction:g} of {len(table)} examples"
  try:
    keep, out = train_test_split(
      np.arange(len(table)), test_size=fraction, random_state=seed, stratify=label
    )
  except ValueError as error:
    raise UserError(f"{what}: {error}") from error
  if label is not None:
    lost = set(label.tolist()) - (set(label[keep].tolist()) & set(label[out].tolist()))
    if lost:
      raise UserError(f"{what}: one side would hold no example of class {min(lost)}")
  return table.take(np.sort(keep)), table.take(np.sort(out))

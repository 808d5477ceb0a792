"""Division of examples: a part that is held out, or folds for cross-validation."""

from collections.abc import Iterable, Mapping, Sized

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import UserError

SPLITS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}  # spellings


def hold_out(table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
  """Returns the table without, and with only, a random fraction of it, the same of each class.

  Raises: UserError where one of the two tables would have no example of a class.
  """
  from sklearn.model_selection import train_test_split

  if not isinstance(fraction, int | float) or not 0 < fraction < 1:
    raise UserError(f"the fraction to hold out must lie between 0 and 1, found {fraction!r}")
  label, what = table.columns.get("label"), f"cannot hold out {fraction:g} of {len(table)} examples"
  values, counts = np.unique([] if label is None else label, return_counts=True)
  if counts.min(initial=2) < 2:
    alone = values[counts.argmin()]
    name = table.classes[alone] if table.classes else alone
    raise UserError(f"{what}: class {name} has only one, of {len(values)} classes")
  try:
    keep, out = train_test_split(
      np.arange(len(table)), test_size=fraction, random_state=seed, stratify=label
    )
  except ValueError as error:
    raise UserError(f"{what}: {error}") from error
  if label is not None:
    lost = set(label.tolist()) - (set(label[keep].tolist()) & set(label[out].tolist()))
    if lost:
      name = table.classes[min(lost)] if table.classes else min(lost)
      raise UserError(f"{what}: one side would hold no example of class {name}")
  return table.take(np.sort(keep)), table.take(np.sort(out))


def origin(splits: Mapping[str, Sized]) -> np.ndarray:
  """Returns the split [N] of each example, where the splits are concatenated in their order."""
  return np.repeat(list(splits), [len(part) for part in splits.values()])


def by_origin(table: Table, origin: np.ndarray, splits: Iterable[str]) -> dict[str, Table]:
  """Returns each split's examples of a table, where `origin` [N] is the split of each example."""
  return {split: table.take(np.flatnonzero(origin == split)) for split in splits}


def with_test(splits: Mapping[str, Table], fraction: float, seed: int) -> dict[str, Table]:
  """Returns the splits; where test is missing, `hold_out` takes it out of train."""
  if "test" in splits:
    return dict(splits)
  train, test = hold_out(splits["train"], fraction, seed)
  return {**splits, "train": train, "test": test}


def fold(table: Table, folds: int, place: int, seed: int) -> tuple[Table, Table]:
  """Returns the table without, and with only, one of its folds, stratified by class.

  Args:
    table: of examples; each is in exactly one fold.
    folds: their number, two or more.
    place: index of the fold, from 0.
    seed: of the order in which examples are dealt out to the folds.

  Raises: UserError for a class, or a table, with fewer examples than folds.
  """
  from sklearn.model_selection import KFold, StratifiedKFold

  label = table.columns.get("label")
  values, counts = np.unique(np.zeros(len(table)) if label is None else label, return_counts=True)
  if counts.min() < folds:
    rare = values[counts.argmin()]
    where = "" if label is None else f" of class {table.classes[rare] if table.classes else rare}"
    raise UserError(f"data.folds {folds} needs as many examples{where}; found {counts.min()}")
  kind = KFold if label is None else StratifiedKFold
  pairs = list(kind(folds, shuffle=True, random_state=seed).split(np.arange(len(table)), label))
  rest, out = pairs[place]
  return table.take(rest), table.take(out)

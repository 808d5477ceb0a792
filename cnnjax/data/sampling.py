"""The examples of an epoch and their order: a function of the seed and the epoch."""

from collections.abc import Callable

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown

Order = Callable[[int], np.ndarray]


def epochs(table: Table, seed: int, sampling: str = "uniform") -> Order:
  """Returns epoch -> N indices of a table with N examples.

  Args:
    table: of examples.
    seed: of the orders.
    sampling: "uniform": each example once; "balanced": the classes of `label` appear equally often,
      within one, and so do the examples of each class.

  Raises: UserError for another word, and for "balanced" without classes.
  """
  if sampling not in SAMPLINGS:
    raise unknown("data.sampling", str(sampling), SAMPLINGS)
  return SAMPLINGS[sampling](table, seed)


def _uniform(table: Table, seed: int) -> Order:
  count = len(table)  # so that only the number, not the table, is sent to a reading process
  return lambda epoch: np.random.default_rng([seed, epoch]).permutation(count)


def _balanced(table: Table, seed: int) -> Order:
  if "label" not in table.columns:
    raise UserError("data.sampling balanced needs a class for each image, but the data have none")
  label = table.columns["label"]
  counts = np.bincount(label)
  classes = np.split(np.argsort(label, kind="stable"), np.cumsum(counts)[:-1])
  classes = [indices for indices in classes if len(indices)]

  def order(epoch: int) -> np.ndarray:
    rng, drawn = np.random.default_rng([seed, epoch]), []
    more = rng.permutation(len(classes)) < len(label) % len(classes)  # one more each
    for indices, one in zip(classes, more):
      count = len(label) // len(classes) + one
      rounds = np.tile(indices, (-(-count // len(indices)), 1))
      drawn.append(rng.permuted(rounds, axis=1).ravel()[:count])
    return rng.permutation(np.concatenate(drawn))

  return order


SAMPLINGS = {"uniform": _uniform, "balanced": _balanced}

"""The classes of data that are read anew, matched by name with those that a network knows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cnnjax.data.names import plain
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say, some


def in_order(splits: Mapping[str, Table], known: Sequence[str], whose: str) -> dict[str, Table]:
  """Returns the splits with the classes of a network, in its order, whatever the data's order is.

  Labels, and the columns of targets, are matched by the names of the classes. Where the data lack
  some of the classes, that is said, and no example is of these.

  Args:
    splits: as they were read.
    known: names of the classes that the network tells apart.
    whose: the network, for messages.

  Raises: UserError for other names, with both lists, and for targets that lack a number.
  """
  places = {plain(name): place for place, name in enumerate(known)}
  found = {}
  for split, table in splits.items():
    strange = [name for name in table.classes if plain(name) not in places]
    missing = sorted(set(places) - set(map(plain, table.classes)))
    if strange or len(table.classes) > len(known) or (missing and "target" in table.columns):
      raise UserError(
        f"{whose} knows the {len(known)} classes {some(known, count=20)}; the {split} split has "
        f"{len(table.classes)}: {some(table.classes, count=20)}"
        + (f"; it does not know {some(strange, count=20)}" if strange else "")
      )
    if missing:
      say(f"the {split} split knows no {some(missing, count=20)}")
    order = np.asarray([places[plain(name)] for name in table.classes], np.int32)
    found[split] = _reordered(table, order, tuple(known))
  return found


def with_names(splits: Mapping[str, Table], names: Sequence[str]) -> dict[str, Table]:
  """Returns the splits with their classes in the order of `names`; other names rename them.

  There may be more names than the data have examples of.

  Raises: UserError where only some of the names are the data's: they would change their meaning.
  """
  classes = splits["train"].classes
  if set(map(plain, classes)) <= set(map(plain, names)):
    return in_order(splits, names, "data.classes")
  moved = [a for a, b in zip(names, classes) if plain(a) != plain(b) and a in classes]
  if moved:
    raise UserError(
      f"data.classes {some(names, count=20)} has {some(moved)} where the data have another class: "
      f"{some(classes, count=20)}; give all of these in any order, or new names in this order"
    )
  return dict(splits)


def _reordered(table: Table, order: np.ndarray, classes: tuple[str, ...]) -> Table:
  """Returns the table with class c as class order[c], and the names of the classes."""
  if table.classes == classes:
    return table
  changed = {}
  for key in ("label", "labels"):
    if key in table.columns and len(order):
      changed[key] = order[table.columns[key]]
  if "target" in table.columns:
    changed["target"] = np.ascontiguousarray(table.columns["target"][:, np.argsort(order)])
  return replace(table.replace(**changed), classes=classes)

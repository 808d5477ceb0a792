"""The splits of a run's data, read anew: the same examples, with the classes in the run's order."""

import csv
import io
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data import classes
from cnnjax.data.table import Table
from cnnjax.engine.record import read_json, write_text
from cnnjax.errors import UserError, say

FILE = "split.csv"


def load_splits(
  config: Any, root: str | Path = "", folder: str | Path | None = None
) -> dict[str, Table]:
  """Returns the splits of a config's data.

  Args:
    config: of a config file, or of the run.
    root: where the data lie now, where that is not the config's data.root.
    folder: of a run, whose split and order of classes the data get.

  Raises: UserError for anything that is wrong in the data, and for classes of other names.
  """
  from cnnjax.data import catalogue  # not needed to build and train

  data = config.data
  if root:
    data = data.copy_and_resolve_references()
    data.root = str(root)
  splits = catalogue.load(data, config.seed)
  if folder:
    splits = _as_drawn(splits, Path(folder) / FILE)
    return classes.in_order(splits, _known_classes(Path(folder)), "the run")
  return classes.with_names(splits, data.classes) if data.classes else splits


def _known_classes(folder: Path) -> tuple[str, ...]:
  """Returns the names of a run's classes as its data have them: data.classes may rename them."""
  path = folder / "data.json"
  facts = read_json(path, dict) if path.exists() else {}
  found = facts.get("read_as") or read_json(folder / "config.json", dict)["data"]["classes"]
  return tuple(map(str, found))


def note_split(folder: Path, splits: Mapping[str, Table]) -> None:
  """Writes split.csv, once: the split of each example, by its name, where cnnjax drew them."""
  drawn = _drawn(splits)
  if drawn and not (folder / FILE).exists():
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("split", "example"))
    for split, table in drawn.items():
      rows.writerows((split, name) for name in table.names.tolist())
    write_text(folder / FILE, text.getvalue())


def _drawn(splits: Mapping[str, Table]) -> dict[str, Table]:
  """Returns the splits that cnnjax drew, which have one origin, and whose examples have names."""
  return {s: t for s, t in splits.items() if t.drawn and t.names is not None}


def _as_drawn(splits: dict[str, Table], path: Path) -> dict[str, Table]:
  """Returns the splits with each example where a run's split.csv has it.

  Examples that are new, and those that are gone, are counted on standard error. Where no example is
  known, the data are others, and the splits are returned as they are.

  Raises: UserError for a file that cannot be read, or where a split would be empty.
  """
  drawn = _drawn(splits)
  if not drawn or not path.exists():
    return splits
  kept = {split: [] for split in drawn}
  try:
    with path.open(newline="", encoding="utf-8") as file:
      for row in csv.DictReader(file):
        kept[row["split"]].append(row["example"])
  except (KeyError, ValueError, csv.Error) as error:
    raise UserError(f"{path} is damaged: {error!r}") from error
  if all(drawn[split].names.tolist() == names for split, names in kept.items()):
    return splits
  whole = reduce(Table.join, drawn.values())
  place = {name: index for index, name in enumerate(whole.names.tolist())}
  found = {split: [place[n] for n in names if n in place] for split, names in kept.items()}
  count, wanted = (sum(map(len, of.values())) for of in (found, kept))
  if not count:
    return splits
  for split, indices in found.items():
    if not indices:
      raise UserError(f"no example of the {split} split of {path} is in the data now")
  if count < max(wanted, len(whole)):
    say(
      f"of the {wanted} examples in {path} {wanted - count} are gone; {len(whole) - count} others "
      "are new, and in no split"
    )
  return {**splits, **{s: whole.draw(np.asarray(rows)) for s, rows in found.items()}}

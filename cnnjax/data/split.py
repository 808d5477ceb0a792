"""Splits: how they are spelt, where they lie, a part that is held out, folds."""

import re
from collections.abc import Iterable, Mapping, Sized
from pathlib import Path

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import UserError

SPLITS = {  # our name: how people spell it, in any case of letters; `split_of` is the reader
  "train": ("train", "training"),
  "validation": ("validation", "valid", "val", "dev", "development", "eval", "evaluation"),
  "test": ("test", "testing", "t10k"),  # MNIST's
}


def split_of(name: str) -> str:
  """Returns the split that a name means: train, validation, test, or "" where it means none.

  Letters may be of either case, and "set", "data" or "split" may follow: "Train", "VALID",
  "test_set", "training-data".
  """
  plain = re.sub(r"[-_ ]?(set|data|split)$", "", name.strip().casefold())
  return next((split for split, spellings in SPLITS.items() if plain in spellings), "")


def find_splits(root: Path, pattern: str = "{split}") -> dict[str, Path]:
  """Returns the file or folder of each split that is there: {"train": ROOT/Training, ...}.

  The splits come in the order of `SPLITS`; what is not there is not in the result.

  Args:
    root: the folder that the pattern is relative to.
    pattern: the path with `{split}` where any spelling of a split may stand, in any of its parts
      and several times: "{split}", "annotations/instances_{split}2017.json", "{split}/images". A
      pattern without `{split}` is one file or folder, which belongs to train.

  Raises: UserError where two spellings of one split are there, such as val and valid, and for a
    folder that cannot be read.
  """
  found = [("", root)]
  for part in Path(pattern).parts:
    found = [pair for split, path in found for pair in _matches(split, path, part)]
  places: dict[str, Path] = {}
  for split, path in found:
    there = places.setdefault(split or "train", path)
    if not there.samefile(path):
      raise UserError(f"{there} and {path} are both the {split} split; keep one of them there")
  return {split: places[split] for split in SPLITS if split in places}


def _matches(split: str, folder: Path, part: str) -> list[tuple[str, Path]]:
  """Returns what matches one part of a pattern in a folder, with the split that it names."""
  if "{split}" not in part:
    return [(split, folder / part)] if (folder / part).exists() else []
  wanted = re.compile("(.+)".join(map(re.escape, part.split("{split}"))), re.IGNORECASE)
  try:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
  except OSError as error:
    raise UserError(f"{folder} cannot be read: {error.strerror}") from error
  found = []
  for entry in entries:
    match = wanted.fullmatch(entry.name)
    named = {split_of(name) for name in match.groups()} | ({split} - {""}) if match else {""}
    if len(named) == 1 and "" not in named:
      found.append((named.pop(), entry))
  return found


def of_split(root: Path, pattern: str, split: str) -> Path:
  """Returns the file or folder of one split, of a pattern as `find_splits` takes it.

  Without `{split}` in it, the pattern is one file or folder for all splits.

  Raises: UserError where it is not there.
  """
  found = find_splits(root, pattern)
  path = found.get(split if "{split}" in pattern else "train")
  if path is None:
    there = ", ".join(str(p) for p in found.values())
    raise UserError(
      f"{root} has no {pattern} of the {split} split"
      + (f"; found {there}" if there else f"; expected {pattern.replace('{split}', split)}")
    )
  return path


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
  return table.draw(np.sort(keep)), table.draw(np.sort(out))


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
  return table.draw(rest), table.draw(out)

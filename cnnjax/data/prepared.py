"""Data sets that tensorflow-datasets has prepared in a folder: their builders and splits."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cnnjax.data.split import SPLITS, split_of
from cnnjax.errors import UserError, say, unknown

PREPARE = (  # the script `tfds build` would need Apache Beam too
  'python -c "import tensorflow_datasets as tfds; tfds.builder({!r}, data_dir={!r}, '
  "file_format='array_record').download_and_prepare()\""
)


@lru_cache(maxsize=8)
def prepared(dataset: str, root: str) -> Any:
  """Returns tfds's builder of a data set in the folder `root`, tfds's `data_dir`.

  Raises: UserError where the set is not there or not in the format array_record; the message says
    how to prepare it.
  """
  if not find_spec("array_record"):
    raise UserError(
      "data.name tfds needs the package array_record, which is not installed; it has no build for "
      "Windows: read the set on Linux or macOS, or export it to folders or .npz"
    )
  import tensorflow_datasets as tfds

  folder = Path(root).expanduser()
  if not root or not folder.is_dir():
    raise UserError(
      f"data.root {f'{root} is no folder' if root else 'is empty'}; expected the folder that tfds "
      "prepared the set in, its data_dir"
    )
  try:
    builder = tfds.builder(dataset, data_dir=folder)
    there = builder.is_prepared() and {f.value for f in builder.info.available_file_formats()}
  except tfds.core.registered.DatasetNotFoundError:
    raise UserError(
      f"{root} holds no set {dataset!r}, and tfds knows none of this name; expected NAME, "
      "NAME:VERSION or NAME/CONFIG:VERSION"
    ) from None
  except (AssertionError, OSError, RuntimeError, ValueError) as error:
    raise UserError(f"{dataset} in {root} cannot be read: {str(error).splitlines()[0]}") from error
  if not there:
    how = PREPARE.format(dataset, root)
    raise UserError(f"{root} holds no prepared {dataset}; once, with the extra tensorflow: {how}")
  if "array_record" not in there:
    how = PREPARE.format(dataset, f"{root}_array_record")
    raise UserError(
      f"{dataset} in {root} is prepared as {', '.join(sorted(there))}, which cannot be read in any "
      f"order; expected array_record, made once, with the extra tensorflow: {how}"
    )
  return builder


def splits_of(builder: Any, dataset: str, asked: Mapping[str, str] | None) -> dict[str, str]:
  """Returns tfds's name for each of our splits: as requested, else the splits with our names.

  Raises: UserError for a name that is no split, and where train is missing.
  """
  own = list(builder.info.splits)
  found = dict(asked or _of_our_names(own, dataset))
  for split, spec in found.items():
    if split not in SPLITS:
      raise unknown("split in data.arguments.splits", split, SPLITS)
    if spec.partition("[")[0] not in own:
      raise unknown(f"split of {dataset}", spec, own)
    try:
      builder.info.splits[spec].num_examples  # noqa: B018
    except (AssertionError, ValueError) as error:
      raise UserError(f"{spec} is no split of {dataset}: {str(error).splitlines()[0]}") from error
  if "train" not in found:
    raise UserError(
      f"{dataset} has the splits {', '.join(own)}, and none is train; say which by data.arguments, "
      "such as 'splits': {'train': 'all[:80%]', 'test': 'all[80%:]'}"
    )
  return found


def _of_our_names(own: Sequence[str], dataset: str) -> dict[str, str]:
  """Returns tfds's name for each of our splits that is there; prints those that are not read."""
  found: dict[str, str] = {}
  for name in own:
    other = found.setdefault(split_of(name), name)
    if split_of(name) and other != name:
      raise UserError(
        f"{dataset} has the splits {other} and {name}, which are both the {split_of(name)} split; "
        "say which by data.arguments.splits"
      )
  rest = [name for name in own if not split_of(name)]
  if rest and "train" in found:
    say(f"splits of {dataset} that are not read: {', '.join(rest)}")
  return {split: found[split] for split in SPLITS if split in found}

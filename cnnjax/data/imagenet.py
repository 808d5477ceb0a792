"""ImageNet's lists: the class names of folders n01440764 ..., and the class of each val file."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnjax.data.names import plain
from cnnjax.errors import UserError, unknown

NAMES = ("LOC_synset_mapping.txt", "classes.txt")  # lines: n01440764 tench, Tinca tinca
LABELS = (  # lines: ILSVRC2012_val_00000001 n01751748 ..., or n01751748 alone, in the files' order
  "val_annotations.txt",  # Tiny ImageNet's, which lies in val
  "LOC_val_solution.csv",
  "imagenet_2012_validation_synset_labels.txt",
  "val_labels.txt",
)


def names(root: Path, folders: Sequence[str]) -> tuple[str, ...]:
  """Returns the class name of each folder: the first name in the root's list, or the folder's own.

  Raises: UserError for a list that cannot be read.
  """
  lines = [line.partition(" ") for line in _lines(root, NAMES)[1]]
  known = {plain(folder): name.split(",")[0].strip() for folder, _, name in lines}
  found = [known.get(folder) or folder for folder in folders]
  count = Counter(found)  # ImageNet has two classes named crane, a bird and a machine
  return tuple(n if count[n] == 1 else f"{n} ({f})" for n, f in zip(found, folders))


def by_class(
  root: Path, split: Path, files: Sequence[Path], folders: Sequence[str]
) -> dict[str, list[Path]]:
  """Returns the files of each class, by the list of labels in the split's folder or the root.

  Raises: UserError for a list that is missing, or does not fit the files or the folders.
  """
  path, lines = _lines(split, LABELS)
  if path is None:
    path, lines = _lines(root, LABELS)
  where = files[0].parent
  if path is None:
    raise UserError(
      f"{where} holds images, but no folders, and {root} no list of their classes; "
      f"expected {LABELS[1]} or {LABELS[-1]}, or in data.arguments a folder that has classes, such "
      "as 'test': 'val'"
    )
  rows = [line.replace(",", " ").split() for line in lines if not line.startswith("ImageId")]
  if len(rows) != len(files):
    raise UserError(f"{path} has {len(rows)} labels, but {where} {len(files)} images")
  named = all(len(row) > 1 for row in rows)
  labels = {plain(Path(row[0]).stem): row[1] for row in rows} if named else {}
  found: dict[str, list[Path]] = {folder: [] for folder in folders}
  for file, row in zip(files, rows):
    stem = plain(file.stem)
    if named and stem not in labels:
      raise UserError(f"{path} has no label of {file}")
    label = plain(labels[stem] if named else row[0])
    if label not in found:
      raise unknown(f"class in {path}", label, folders)
    found[label].append(file)
  return found


def lists(folders: Iterable[Path]) -> list[Path]:
  """Returns the lists that are in these folders."""
  return [p for folder in folders for n in (*NAMES, *LABELS) if (p := folder / n).exists()]


def _lines(root: Path, names: Sequence[str]) -> tuple[Path | None, list[str]]:
  """Returns the first of these files that exists, and its lines that are not empty."""
  for path in (root / name for name in names):
    try:
      return path, list(filter(None, map(str.strip, path.read_text("utf-8-sig").splitlines())))
    except FileNotFoundError:
      continue
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"{path} cannot be read: {error}") from error
  return None, []

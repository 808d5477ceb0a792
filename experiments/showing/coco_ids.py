"""The ids of a user's COCO file, in which a detector's answers are written for COCO's program."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cnnjax
from cnnjax.data import coco
from cnnjax.data.names import plain
from cnnjax.data.split import find_splits, of_split
from cnnjax.errors import UserError, unknown


class Ids(NamedTuple):
  """Ids of a user's COCO file: of `images` by the paths of their files, and of each category."""

  file: Path
  images: dict[str, Any]
  categories: Sequence[Any]


def of_file(file: str, paths: Sequence[Path], classes: Sequence[str]) -> Ids:
  """Returns the ids that a COCO file has for images, which may lie in any folder, and classes.

  Raises: UserError where it has none for one of them.
  """
  categories, images = coco.ids(file)
  missing = next((name for name in classes if name not in categories), None)
  if missing is not None:
    raise unknown(f"category in {file}", missing, categories)
  images = {plain(name): number for name, number in images.items()}
  found = {str(path): _by_end(path, images) for path in paths}
  strange = [path for path, number in found.items() if number is None]
  if strange:
    more = f", nor {len(strange) - 1} others" if strange[1:] else ""
    raise UserError(f"{file} has no image {strange[0]}{more}")
  return Ids(Path(file), found, [categories[name] for name in classes])


def _by_end(path: Path, images: Mapping[str, Any]) -> Any:
  """Returns the id of the image whose file name is the longest end of a path, or None."""
  parts = Path(plain(path.as_posix())).parts
  names = ("/".join(parts[start:]) for start in range(len(parts)))
  return next((images[name] for name in names if name in images), None)


def of_run(run: cnnjax.Run, paths: Sequence[Path]) -> Ids | None:
  """Returns the ids of the COCO file that a run learnt from, where all images are of one of its
  splits; else None, and says so.
  """
  data = run.config.data
  if data.name != "coco":
    return None
  where = {**coco.load.__kwdefaults__, **data.arguments}
  root, why = Path(data.root).expanduser(), "the images are not those of one of its splits"
  for split, file in find_splits(root, where["annotations"]).items() if root.is_dir() else ():
    try:
      folder = of_split(root, where["images"], split).resolve()
      if all(path.resolve().is_relative_to(folder) for path in paths):
        return of_file(str(file), paths, data.classes)
    except UserError as error:
      why = str(error)
  print(
    f"predictions.coco.json will number images and categories from 1 ({root}: {why}); "
    "--annotations=FILE.json writes it in the ids of that COCO file",
    file=sys.stderr,
  )
  return None

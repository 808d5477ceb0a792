"""PASCAL VOC folders, and ILSVRC's: an XML file for each image, and a list of names per split."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from cnnjax.data.boxes import Box, Example, tables
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.split import SPLITS
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  images: str = "JPEGImages",
  annotations: str = "Annotations",
  lists: str = "ImageSets/Main/{split}.txt",
  classes: Sequence[str] = (),
  places: int = 0,
  first: int = 1,
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of a VOC folder, as `boxes.tables` does, with the column `difficult`.

  Args:
    root: the folder that holds `images`, `annotations` and `lists`.
    seed: of the test split, where there is no list of it.
    to: the run's preprocessing.
    images: the folder of the images, in which `{split}` is replaced.
    annotations: the folder of the XML files, which have the images' names, in which `{split}` is
      replaced too.
    lists: the files of train, val and test, in which each line begins with the name of an image.
      Where there is no such file, all annotations belong to train.
    classes: names in order; by default those of train, sorted.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    first: number of the first pixel, which is subtracted from xmin and ymin. VOC counts from 1 and
      includes the last pixel, so that xmin 1 and xmax 500 span an image 500 pixels wide.
    test: the part that becomes the test split, where there is no list of it.
    on_error: "raise", or "skip" to leave out, and count, images that cannot be read.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  ILSVRC's detection set is read with images "Data/DET/{split}", annotations
  "Annotations/DET/{split}", lists "ImageSets/DET/{split}.txt" and first 0.

  Raises: UserError for a folder, file or element that is missing or wrong, and any error of
    `boxes.tables`.
  """
  folder = Path(root).expanduser()
  if not root or not folder.is_dir():
    raise UserError(
      f"data.root {root!r} is no folder; expected one with {annotations} and {images}"
    )
  splits = {}
  for split, spelt, names in _names(folder, lists, annotations):
    where = folder / annotations.format(split=spelt)
    pictures = folder / images.format(split=spelt)
    splits[split] = [example(where / f"{name}.xml", pictures, name, first) for name in names]
  chosen = dict(classes=classes, places=places, test=test, on_error=on_error, stream=stream)
  return tables(folder, splits, seed, to=to, flag="difficult", **chosen)


def example(file: Path, images: Path, name: str, first: int = 1) -> Example:
  """Returns the annotation that an XML file holds for the image of that name.

  Raises: UserError for a file that is missing or no XML, or lacks the size, a name or a box.
  """
  try:
    tree = ElementTree.parse(file).getroot()
  except FileNotFoundError:
    raise UserError(f"no annotation at {file}") from None
  except (OSError, ElementTree.ParseError) as error:
    raise UserError(f"{file} cannot be read as XML: {error}") from error
  size = tree.find("size")
  if size is None:
    raise UserError(f"{file} has no size; expected <size> with <width> and <height>")
  width, height = (int(_number(size, key, file)) for key in ("width", "height"))
  boxes = [_box(node, file, first) for node in tree.iterfind("object")]
  return Example(_image(images, name), boxes, (height, width), str(file))


def _box(node: ElementTree.Element, file: Path, first: int) -> Box:
  name, corners = node.findtext("name", "").strip(), node.find("bndbox")
  if not name or corners is None:
    raise UserError(f"{file} has an object without a {'bndbox' if name else 'name'}")
  x0, y0, x1, y1 = (_number(corners, key, file) for key in ("xmin", "ymin", "xmax", "ymax"))
  flag = node.findtext("difficult", "0").strip() == "1"
  if x1 <= x0 or y1 <= y0:  # xmax == xmin is a click of the annotator, not a box one pixel wide
    return Box((x0, y0, x0, y0), name, flag)
  return Box((x0 - first, y0 - first, x1, y1), name, flag)


def _number(node: ElementTree.Element, key: str, file: Path) -> float:
  text = node.findtext(key, "")
  try:
    return float(text)
  except ValueError:
    raise UserError(f"{file}: {key} of <{node.tag}> must be a number; found {text!r}") from None


def _image(folder: Path, name: str) -> Path:
  """Returns the image file of that name, with any suffix."""
  for suffix in SUFFIXES:
    for spelt in (suffix, suffix.upper()):
      if (folder / (name + spelt)).is_file():
        return folder / (name + spelt)
  raise UserError(f"no image of {name} in {folder}; expected {name}.jpg or another of {SUFFIXES}")


def _names(folder: Path, lists: str, annotations: str) -> list[tuple[str, str, list[str]]]:
  """Returns (split, its spelling, its images) of each list; without lists, all images as train."""
  found, both = [], folder / lists.format(split="trainval")
  for split, spellings in SPLITS.items():
    for spelt in spellings:
      file = folder / lists.format(split=spelt)
      if file.is_file():
        found.append((split, spelt, _lines(file)))
  if not any(split == "train" for split, *_ in found) and both.is_file():
    found = [("train", "trainval", _lines(both)), *(f for f in found if f[0] == "test")]
  if found:
    if found[0][0] != "train":
      raise UserError(f"{folder} has a list of {found[0][1]}, but none of train")
    return found
  files = sorted((folder / annotations).glob("*.xml")) if (folder / annotations).is_dir() else []
  if not files:
    raise UserError(f"{folder} has neither {lists} nor {annotations}/*.xml; is it a VOC folder?")
  return [("train", "train", [file.stem for file in files])]


def _lines(file: Path) -> list[str]:
  """Returns the first word of each line that has one; lists of one class also have -1, 0 or 1."""
  try:
    names = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{file} cannot be read: {error}") from error
  if not names:
    raise UserError(f"{file} names no image")
  return names

"""Folders of images beside folders of masks, in which each pixel's value is its class."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cnnjax.data import mask_files
from cnnjax.data.below import files_below
from cnnjax.data.faults import attempt
from cnnjax.data.files import check_inside
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.layout import folder_of, near_maps, part
from cnnjax.data.names import Listing
from cnnjax.data.segments import Pair, tables
from cnnjax.data.split import find_splits
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.ops.segmentation import VOID

LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".gif")  # suffixes of masks
VOC = (
  *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
  *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
  *("train", "tvmonitor"),
)


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  images: str = "{split}/images",
  segments: str = "{split}/masks",
  ending: str = "",
  lists: str = "",
  classes: Sequence[str] | str = (),
  values: Sequence[int] = (),
  colours: Sequence[Sequence[Any]] | str = (),
  void: Sequence[int | str] = (VOID, "void"),
  objects: bool = False,
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns image, size and segments of each split, as `segments.tables` does.

  Args:
    root: the folder that holds `images` and `segments`.
    seed: of the test split, where there is none.
    to: the run's preprocessing; it resizes to (height, width) or not at all, and does not crop.
    images: the folder of a split's images, with its subfolders, in which `{split}` stands for any
      spelling of a split. Without `{split}`, all belong to train, unless `lists` says otherwise.
    segments: the folder of its masks, in which `{split}` stands for the same: for each image a file
      of the same name before the suffix, in the same subfolder, in a format that loses nothing. It
      may be the images' own folder.
    ending: what the name of a mask has before its suffix that the image's lacks, such as "_L".
    lists: the files of the splits, in which each line begins with the name of an image. Images that
      none of them names belong to train, where train has no list, and else are not read.
    classes: names in order, or the name of a file in `root` with one a line; by default the numbers
      from 0 to the largest in a mask.
    values: the number in a mask that stands for each class; by default 0, 1, 2 and so on. The
      pixels of a palette's PNG are its indices.
    colours: rows (name, red, green, blue), or the name of a CSV file in `root` of such rows, for
      masks in colour; they give the classes in their order.
    void: numbers that are no class, where `values` or `classes` do not make them one; and the names
      of classes that are none, in any case of letters.
    objects: whether a mask numbers objects: then 0 is the first class, any other the second.
    test: the part that becomes the test split, where there is none.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in their
      masks.
    stream: "" to read all at the start, "threads" or "processes" to read batch by batch.

  Raises: UserError for a folder, an image or a mask that is missing or wrong, a mask of another
    size than its image, and a number or a colour that is no class, with its first pixel.
  """
  folder = folder_of(root, f"{images} and {segments}")
  near, listing = partial(near_maps, folder, "segments"), Listing()
  by, names = mask_files.code(folder, classes, values, colours, void, objects)
  if "{split}" not in images and not (folder / images).is_dir():
    raise UserError(f"{folder} has no folder {images}{near()}")
  places = find_splits(folder, images)
  if "train" not in places:
    raise UserError(f"{folder} has no folder {images.replace('{split}', 'train')}{near()}")
  found, masks = {}, {}
  for split, there in places.items():
    maps = part(folder, segments, split, near)
    found[split] = _images(there, maps, ending)
    masks |= {image: partial(_mask, there, maps, ending, listing) for image in found[split]}
  if lists:
    found = _listed(folder, lists, found, places, listing)

  def pair(image: Path) -> Pair:
    mask = masks[image](image)
    check_inside(folder.resolve(), mask)
    return Pair(image, partial(mask_files.read, mask, by), mask)

  splits = {s: [attempt(partial(pair, one), on_error) for one in part] for s, part in found.items()}
  chosen = dict(classes=names, test=test, on_error=on_error, stream=stream)
  return tables(folder, splits, seed, to=to, **chosen)


def _images(folder: Path, maps: Path, ending: str) -> list[Path]:
  """Returns the images in a folder and below it, without masks that lie there too."""
  same = maps.samefile(folder)
  found = []
  for entry in files_below(folder, follow=True):
    path = Path(entry.path)
    if path.suffix.lower() not in SUFFIXES or entry.name.startswith("."):
      continue
    mask = path.stem.endswith(ending) if ending else path.suffix.lower() in LOSSLESS
    if not (mask if same else maps in path.parents):
      found.append(path)
  if not found:
    raise UserError(f"{folder} holds no image; expected files {' '.join(SUFFIXES)}")
  return sorted(found)


def _mask(images: Path, maps: Path, ending: str, listing: Listing, image: Path) -> Path:
  """Returns the mask of an image. Raises: UserError where there is none."""
  inner = Path(os.path.relpath(image, images)).with_suffix("")
  names = [f"{inner.as_posix()}{ending}{suffix}" for suffix in LOSSLESS]
  found = [path for path in (listing.find(maps, name) for name in names) if path.is_file()]
  if not found:
    raise UserError(f"{image} has no mask at {maps / names[0]}")
  return found[0]


def _listed(
  folder: Path,
  lists: str,
  found: dict[str, list[Path]],
  places: dict[str, Path],
  listing: Listing,
) -> dict[str, list[Path]]:
  """Returns the images by the splits that lists of names say.

  Raises: UserError for a list that cannot be read, and a name that is no image or named before.
  """
  rest, splits = dict.fromkeys(image for part in found.values() for image in part), {}
  files = find_splits(folder, lists)
  if not files:
    raise UserError(f"{folder} has no list {lists}")
  for split, file in files.items():
    try:
      lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"{file} cannot be read as a list of names: {error}") from error
    splits[split] = []
    for name in (line.split()[0] for line in lines if line.strip()):
      image = next(filter(None, (listing.image(p, name) for p in places.values())), None)
      if image not in rest:
        what = "which is no image there" if image is None else "which is named before"
        raise UserError(f"{file} names {name}, {what}")
      splits[split].append(image)
      del rest[image]
  return splits if "train" in splits else {"train": list(rest), **splits}


white_blood_cells = partial(
  load,
  images="images",
  segments="masks",
  values=(0, 128, 255),
  void=(2, 3, 7, 9, 25, 44),  # 71 pixels of 4 of its 400 masks
  classes=("background", "cytoplasm", "nucleus"),
)
camvid = partial(
  load, images="{split}", segments="{split}_labels", ending="_L", colours="class_dict.csv"
)
voc = partial(
  load,
  images="JPEGImages",
  segments="SegmentationClass",
  lists="ImageSets/Segmentation/{split}.txt",
  classes=VOC,
)

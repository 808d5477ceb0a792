"""NumPy's files: one .npz of images or series and labels, or a folder of memory-mapped .npy."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data.below import is_litter
from cnnjax.data.image import to_bytes
from cnnjax.data.inputs.series import as_series
from cnnjax.data.labels import number, numbers
from cnnjax.data.npy import read
from cnnjax.data.split import SPLITS, split_of, with_test
from cnnjax.data.stream import Stream, check_memory, column
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say

PAIRS = (  # (examples, labels): the names of Keras, of MedMNIST, and plain ones, in any case
  ("x_{split}", "y_{split}"),
  ("{split}_images", "{split}_labels"),
  ("image", "label"),  # of train
)


def load(
  root: str,
  seed: int,
  *,
  input: str = "image",
  classes: Sequence[str] = (),
  test: float = 0.2,
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of FILE.npz, or of a folder with a .npy file for each array.

  Images are [N, H, W] or [N, H, W, C], uint8 or float from 0 to 1; clips [N, T, H, W] or
  [N, T, H, W, C] alike; series [N, L] or [N, L, C], any numbers. Labels are classes, [N] or [N, 1],
  as integers from 0 or names; or targets, floats [N] or numbers of any type [N, T]. Arrays of uint8
  in a folder stay on disk until a batch, or a resize, needs them.

  Args:
    root: the file or the folder.
    seed: of the test split, where it has to be made.
    input: what the arrays hold, "image", "series" or "clip".
    classes: the names of the classes, or of the numbers, in order; by default those of the array
      `classes`, if any.
    test: the part of each class that becomes the test split, where there is no array of it.
    stream: "threads" or "processes" to read images of a folder batch by batch, even where they are
      resized, for sets larger than the memory.

  Raises: UserError for a file that is missing or damaged, an array of Python objects (it would
    have to be unpickled), arrays that are no examples or labels, and arrays of different lengths.
  """
  arrays = _arrays(root)
  chosen = _chosen(root, arrays)
  if "train" not in chosen:
    raise UserError(
      f"{root} holds {', '.join(sorted(arrays)) or 'no array'}; expected x_train and y_train, "
      "train_images and train_labels, or image and label"
    )
  if input not in READERS:
    raise UserError(f"data.input {input} is not read from arrays; known: {', '.join(READERS)}")
  examples, labels = {}, {}
  for split, (example, label) in chosen.items():
    examples[split] = READERS[input](arrays[example](), f"{example} of {root}")
    found = arrays[label]()
    labels[split] = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.ndim not in (1, 2) or len(found) != len(examples[split]):
      raise UserError(
        f"{label} of {root} has shape {found.shape}; expected a label for each of "
        f"{len(examples[split])} examples, [N], or numbers, [N, T]"
      )
    check_memory(f"labels in {label} of {root}", (*found.shape, 32), "fewer examples need less")
  if stream:
    names = {split: name for split, (name, _) in chosen.items()}
    examples = _streamed(root, names, examples, stream)
  if not classes and "classes" in arrays:
    classes = arrays["classes"]().tolist()
  several = any(part.ndim == 2 or part.dtype.kind == "f" for part in labels.values())
  labels, names = (numbers if several else number)(root, labels, classes)
  key = "target" if several else "label"
  called = {s: [f"{chosen[s][0]}[{n}]" for n in range(len(labels[s]))] for s in examples}
  splits = {
    s: Table({input: examples[s], key: labels[s]}, names, np.asarray(called[s])) for s in examples
  }
  return with_test(splits, test, seed)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
  """Returns the arrays of examples in FILE.npy, or in FILE.npz by FILE:NAME, without the labels.

  Raises: UserError for a file that is missing, damaged, or holds Python objects.
  """
  file = read(path)
  if isinstance(file, np.ndarray):
    return {str(path): file}
  labels = [_named(label, file.files).values() for _, label in PAIRS]
  labels = {"classes"}.union(*labels)
  return {f"{path}:{n}": read(path, n) for n in file.files if n not in labels and not _is_litter(n)}


def _chosen(root: str, names: Iterable[str]) -> dict[str, tuple[str, str]]:
  """Returns the names of each split's examples and labels; the other arrays are told on stderr."""
  found: dict[str, tuple[str, str]] = {}
  for example, label in PAIRS:
    labels = _named(label, names)
    for spelt, name in _named(example, names).items():
      if spelt not in labels:
        raise UserError(f"{root} has an array {name}, but no {label.format(split=spelt)}")
      split = split_of(spelt) or "train"
      if split in found:
        raise UserError(f"{root} has both {found[split][0]} and {name}, of one split; expected one")
      found[split] = (name, labels[spelt])
  rest = sorted(set(names) - {"classes"}.union(*found.values()))
  if found and rest:
    say(f"arrays of {root} that are not read: {', '.join(rest)}")
  return {split: found[split] for split in SPLITS if split in found}


def _named(pattern: str, names: Iterable[str]) -> dict[str, str]:
  """Returns the names of a pattern by the spelling of their split, "" where it has no split."""
  wanted = re.compile(pattern.replace("{split}", "(.+)"), re.IGNORECASE)
  found = {name: match for name in names if (match := wanted.fullmatch(name))}
  spelt = {name: "".join(match.groups()).lower() for name, match in found.items()}
  return {split: name for name, split in spelt.items() if not split or split_of(split)}


def _is_litter(name: str) -> bool:
  return any(map(is_litter, name.split("/")))


@dataclass(frozen=True)
class Mapped:
  """The rows of several .npy files of bytes, concatenated: mapped([2, 0]) -> [2, H, W, C].

  Attributes:
    files: their paths.
    ends: for each file the number of rows in it and in all files before it.
    row: shape of a row.
  """

  files: tuple[Path, ...]
  ends: tuple[int, ...]
  row: tuple[int, ...]

  def __call__(self, places: np.ndarray) -> np.ndarray:
    rows = np.empty((len(places), *self.row), np.uint8)
    of_file = np.searchsorted(self.ends, places, side="right")
    for which in np.unique(of_file).tolist():
      array = np.load(self.files[which], mmap_mode="r", allow_pickle=False)
      start = self.ends[which] - len(array)
      rows[of_file == which] = array[places[of_file == which] - start].reshape(-1, *self.row)
    return rows


def _streamed(
  root: str, names: Mapping[str, str], images: Mapping[str, np.ndarray], stream: str
) -> dict[str, Stream]:
  """Returns the images of each split as columns that are read from a folder of .npy files."""
  folder, first = Path(root).expanduser(), images["train"]
  for split, image in images.items():
    if not isinstance(image, np.memmap) or image.shape[1:] != first.shape[1:]:
      raise UserError(
        f"data.arguments.stream needs a folder of .npy files of uint8, images of one size; found "
        f"{names[split]} in {root}, {image.dtype} {image.shape}"
      )
  ends = np.cumsum([len(image) for image in images.values()]).tolist()
  files = tuple(folder / f"{name}.npy" for name in names.values())
  whole = column(Mapped(files, tuple(ends), first.shape[1:]), ends[-1], first.shape[1:], stream)
  return {
    split: whole.take(np.arange(end - len(images[split]), end)) for split, end in zip(images, ends)
  }


def _arrays(root: str) -> Mapping[str, Callable[[], np.ndarray]]:
  """Returns for each array's name a function that reads it."""
  if not root:
    raise UserError(
      "data.root is empty; expected a .npz file, or a folder of .npy files: "
      "--config.data.root=FILE.npz"
    )
  path = Path(root).expanduser()
  if path.is_dir():
    files = [file for file in sorted(path.glob("*.npy")) if not is_litter(file.name)]
    return {file.stem: partial(read, file) for file in files}
  file = read(path)
  if isinstance(file, np.ndarray):
    raise UserError(f"{root} is one array; expected a .npz file, or the folder of .npy files")
  return {name: partial(read, path, name) for name in file.files if not _is_litter(name)}


def _images(image: np.ndarray, what: str) -> np.ndarray:
  """Returns images as uint8 [N, H, W, C]."""
  if image.ndim not in (3, 4):
    raise UserError(f"{what} has shape {image.shape}; expected [N, H, W] or [N, H, W, C]")
  image = image[..., None] if image.ndim == 3 else image
  if image.shape[1] in (1, 3) and image.shape[3] not in (1, 3):
    raise UserError(
      f"{what} has shape {image.shape}, channels first; expected [N, H, W, C]: "
      "np.moveaxis(image, 1, -1)"
    )
  if image.dtype == np.uint8:
    return image
  check_memory(f"images in {what}", (*image.shape, image.itemsize), "uint8 stays on the disk")
  try:
    return to_bytes(image)
  except UserError as error:
    raise UserError(f"{what}: {error}") from error


def _clips(clip: np.ndarray, what: str) -> np.ndarray:
  """Returns clips as uint8 [N, T, H, W, C]."""
  if clip.ndim not in (4, 5) or 0 in clip.shape:
    raise UserError(f"{what} has shape {clip.shape}; expected [N, T, H, W] or [N, T, H, W, C]")
  frames = _images(clip.reshape(-1, *clip.shape[2:]), what)
  return frames.reshape(*clip.shape[:2], *frames.shape[1:])


READERS = {"image": _images, "series": partial(as_series, several=True), "clip": _clips}

"""NumPy's files: one .npz of images or series and labels, or a folder of memory-mapped .npy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data.image import to_bytes
from cnnjax.data.inputs.series import as_series
from cnnjax.data.labels import number, numbers
from cnnjax.data.split import with_test
from cnnjax.data.stream import Stream, column
from cnnjax.data.table import Table
from cnnjax.errors import UserError

NAMES = {  # split: (examples, labels), by the names of Keras, of MedMNIST, and plain ones
  "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("image", "label")),
  "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
  "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


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
  chosen = {split: pair for split, pairs in NAMES.items() for pair in pairs if pair[0] in arrays}
  if "train" not in chosen:
    raise UserError(
      f"{root} holds {', '.join(sorted(arrays)) or 'no array'}; expected x_train and y_train, "
      "train_images and train_labels, or image and label"
    )
  if input not in READERS:
    raise UserError(f"data.input {input} is not read from arrays; known: {', '.join(READERS)}")
  examples, labels = {}, {}
  for split, (example, label) in chosen.items():
    if label not in arrays:
      raise UserError(f"{root} has an array {example}, but no {label}")
    examples[split] = READERS[input](arrays[example](), f"{example} of {root}")
    found = arrays[label]()
    labels[split] = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.ndim not in (1, 2) or len(found) != len(examples[split]):
      raise UserError(
        f"{label} of {root} has shape {found.shape}; expected a label for each of "
        f"{len(examples[split])} examples, [N], or numbers, [N, T]"
      )
  if stream:
    names = {split: name for split, (name, _) in chosen.items()}
    examples = _streamed(root, names, examples, stream)
  if not classes and "classes" in arrays:
    classes = arrays["classes"]().tolist()
  several = any(part.ndim == 2 or part.dtype.kind == "f" for part in labels.values())
  labels, names = (numbers if several else number)(root, labels, classes)
  key = "target" if several else "label"
  splits = {s: Table({input: examples[s], key: labels[s]}, names) for s in examples}
  return with_test(splits, test, seed)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
  """Returns the arrays of examples in FILE.npy, or in FILE.npz by FILE:NAME, without the labels.

  Raises: UserError for a file that is missing, damaged, or holds Python objects.
  """
  file = _read(path)
  if isinstance(file, np.ndarray):
    return {str(path): file}
  labels = {"classes", *(label for pairs in NAMES.values() for _, label in pairs)}
  return {f"{path}:{name}": _read(path, name) for name in file.files if name not in labels}


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
    return {file.stem: lambda file=file: _read(file) for file in sorted(path.glob("*.npy"))}
  file = _read(path)
  if isinstance(file, np.ndarray):
    raise UserError(f"{root} is one array; expected a .npz file, or the folder of .npy files")
  return {name: lambda name=name: _read(path, name) for name in file.files}


def _read(path: Path, name: str = "") -> np.ndarray | np.lib.npyio.NpzFile:
  """Returns a file's content, or the array of this name in it, without unpickling anything."""
  try:
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    return found[name] if name else found
  except FileNotFoundError:
    raise UserError(f"{path} does not exist; expected a file of NumPy's") from None
  except Exception as error:  # a damaged file raises errors of zipfile, zlib, struct, ast, ...
    what = f"{name} of {path}" if name else str(path)
    refused = "object" in str(error).lower() or "pickle" in str(error)
    if isinstance(error, ValueError) and refused:
      raise UserError(
        f"{what} holds Python objects, which could run code when read; expected plain arrays"
      ) from None
    raise UserError(f"{what} cannot be read as a NumPy array: {error}") from error


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
  try:
    return image if image.dtype == np.uint8 else to_bytes(image)
  except UserError as error:
    raise UserError(f"{what}: {error}") from error


def _clips(clip: np.ndarray, what: str) -> np.ndarray:
  """Returns clips as uint8 [N, T, H, W, C]."""
  if clip.ndim not in (4, 5) or 0 in clip.shape:
    raise UserError(f"{what} has shape {clip.shape}; expected [N, T, H, W] or [N, T, H, W, C]")
  frames = _images(clip.reshape(-1, *clip.shape[2:]), what)
  return frames.reshape(*clip.shape[:2], *frames.shape[1:])


READERS = {"image": _images, "series": partial(as_series, several=True), "clip": _clips}

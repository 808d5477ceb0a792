"""Data sets that tensorflow-datasets has prepared as array_record, read without TensorFlow."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import numpy as np

from cnnjax.data.boxes import check_resize
from cnnjax.data.files import common, resize_only
from cnnjax.data.image import fit, read_fit, shape_of
from cnnjax.data.labels import number
from cnnjax.data.objects import boxes, is_objects
from cnnjax.data.prepared import prepared, splits_of
from cnnjax.data.split import by_origin, with_test
from cnnjax.data.stream import PART, by_threads, column
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing

Head = tuple[tuple[int, int, int], tuple[int, int], Any]  # shape once resized, size as read, label


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  dataset: str,
  image: str = "image",
  label: str = "label",
  splits: Mapping[str, str] | None = None,
  places: int = 0,
  test: float = 0.2,
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of a prepared data set; its records are read once for labels and sizes.

  Args:
    root: the folder that tfds prepared it in, tfds's `data_dir`.
    seed: of the test split, where it has to be made.
    to: the run's preprocessing. Images are resized as they are read.
    dataset: its name in tfds's notation: "mnist", "mnist:3.0.1", "name/config:version".
    image: the feature of the images: `Image`, or `Tensor` of uint8, or float from 0 to 1.
    label: the feature of their classes: `ClassLabel`, an integer from 0, or text; or the feature of
      their objects, a sequence of `bbox` and `label`, in detection sets mostly named "objects".
      Then the columns are those of `boxes.tables`.
    splits: train, test and validation in tfds's notation ({"train": "train[:80%]", ...}); by
      default the set's splits of these names.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    test: the part of each class that becomes the test split, where there is none.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  Raises: UserError for a set that is not there or not prepared as array_record, for names of
    features and splits that it does not have, and for records that are no images or labels.
  """
  builder = prepared(dataset, root)
  features = builder.info.features
  for key, what, ranks in ((image, "an image", (2, 3)), (label, "one value", (0,))):
    if key not in features:
      raise unknown(f"feature of {dataset}", key, features)
    if key == label and is_objects(features[key]):
      check_resize(to)
    elif isinstance(features[key].shape, dict) or len(features[key].shape) not in ranks:
      raise UserError(f"{key} of {dataset} has shape {features[key].shape}; expected {what}")
  parts = splits_of(builder, dataset, splits)
  counts = [builder.info.splits[part].num_examples for part in parts.values()]
  records = Records(dataset, root, "+".join(parts.values()), image, resize_only(to))
  starts = range(0, sum(counts), PART)
  heads = list(chain.from_iterable(by_threads(partial(records.heads, label), starts)))
  shapes, sizes, values = zip(*heads)
  shape = common(records.name, shapes)
  records = replace(records, to=replace(records.to, channels=shape[2]))
  images = column(records, len(heads), shape, stream)
  origin = np.repeat(list(parts), counts)
  if is_objects(features[label]):
    found, classes = boxes(features[label], values, sizes, shape[:2], places, records.name)
  else:
    values = np.asarray([_text(v, records.name(n)) for n, v in enumerate(values)])
    names = getattr(features[label], "names", None) or ()
    of_split = {split: values[origin == split] for split in parts}
    labels, classes = number(f"{label} of {dataset}", of_split, tuple(names))
    found = {"label": np.concatenate(list(labels.values()))}
  whole = Table({"image": images, **found}, classes)
  return with_test(by_origin(whole, origin, parts), test, seed)


def _text(value: Any, name: str) -> Any:
  try:
    return value.decode() if isinstance(value, bytes) else value
  except UnicodeDecodeError:
    raise UserError(f"the label of {name} is no UTF-8: {value!r}") from None


@dataclass(frozen=True)
class Records:
  """The records of a split, read by their indices: records([2, 0]) -> images [2, H, W, C].

  Attributes:
    dataset: name in tfds's notation.
    root: tfds's `data_dir`.
    split: in tfds's notation, such as "train+test".
    image: the feature of the images.
    to: preprocessing of the images.
  """

  dataset: str
  root: str
  split: str
  image: str
  to: Preprocessing

  def __call__(self, places: np.ndarray) -> np.ndarray:
    return np.stack([self._image(place) for place in places.tolist()])

  def heads(self, label: str, start: int) -> list[Head]:
    """Returns shape, size and label of `PART` records from `start` on, without their pixels."""
    return [self._head(p, label) for p in range(start, min(start + PART, len(self._source())))]

  def name(self, place: int) -> str:
    """Returns a record's name, for error messages."""
    return f"record {place} of {self.split} of {self.dataset}"

  def _head(self, place: int, label: str) -> Head:
    record = self._record(place)
    image = record[self.image]
    if isinstance(image, bytes):
      shape, (height, width, _) = (
        shape_of(io.BytesIO(image), to, self.name(place)) for to in (self.to, Preprocessing())
      )
      return shape, (height, width), record[label]
    to = replace(self.to, channels=self.to.channels or (*image.shape, 1)[2])
    return fit([image], to).shape[1:], image.shape[:2], record[label]

  def _image(self, place: int) -> np.ndarray:
    image = self._record(place)[self.image]
    if isinstance(image, bytes):
      return read_fit(io.BytesIO(image), self.to, self.name(place))
    return fit([image], self.to)[0]

  def _record(self, place: int) -> dict[str, Any]:
    try:
      return self._source()[place]
    except (OSError, RuntimeError, ValueError) as error:  # array_record has checksums of its blocks
      raise UserError(f"{self.name(place)} in {self.root} cannot be read: {error}") from error

  def _source(self) -> Any:
    return _source(self.dataset, self.root, self.split)


@lru_cache(maxsize=8)
def _source(dataset: str, root: str, split: str) -> Any:
  """Returns tfds's data source of the records, which each process opens once."""
  import tensorflow_datasets as tfds

  builder = prepared(dataset, root)
  raw = {  # these features come undecoded: our Pillow code decodes them, with its limits and errors
    key: tfds.decode.SkipDecoding()
    for key, feature in builder.info.features.items()
    if isinstance(feature, tfds.features.Image)
  }
  return builder.as_data_source(split, decoders=raw or None)

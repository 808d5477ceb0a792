"""The speed of reading, decoding and resizing image files: ours, PyTorch's and TensorFlow's."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnjax.data import catalogue
from cnnjax.data.files import Files
from cnnjax.data.pipeline import FAR
from cnnjax.data.stream import Stream, read_ahead
from cnnjax.engine import log
from cnnjax.errors import UserError

from .turns import as_text, ratio, take_turns

WORKERS = (0, 2)  # processes of PyTorch's DataLoader
READY = 8  # batches that may be ready when a turn begins, and are not timed


def ours(files: Files, batch_size: int, by: str) -> Iterator[np.ndarray]:
  """Returns endless batches, read by one thread ("") or as training reads them."""
  make = partial(_batch, files, batch_size)
  return read_ahead(make, 0, FAR, by) if by else map(make, iter(range(FAR)))


def _batch(files: Files, batch_size: int, number: int) -> np.ndarray:
  return files((number * batch_size + np.arange(batch_size)) % len(files.paths))


class TorchFiles:
  """The same files as a PyTorch dataset, decoded and resized as by torchvision's ImageFolder."""

  def __init__(self, files: Files):
    from torchvision import transforms

    self.paths = files.paths
    resize = transforms.Resize(files.shape[:2])
    self.transform = transforms.Compose([resize, transforms.PILToTensor()])

  def __len__(self) -> int:
    return FAR

  def __getitem__(self, place: int) -> Any:
    from torchvision.datasets.folder import pil_loader

    return self.transform(pil_loader(self.paths[place % len(self.paths)]))


def torch_loader(files: Files, batch_size: int, workers: int) -> Iterator[np.ndarray]:
  """Returns endless batches from PyTorch's DataLoader."""
  from torch.utils.data import DataLoader

  context = "spawn" if workers else None  # JAX has threads, which a fork would break
  loader = DataLoader(
    TorchFiles(files), batch_size, num_workers=workers, multiprocessing_context=context
  )
  return (batch.permute(0, 2, 3, 1).numpy() for batch in loader)


def tf_loader(files: Files, batch_size: int) -> Iterator[np.ndarray]:
  """Returns endless batches from tf.data, which chooses its number of threads."""
  import tensorflow as tf

  def load(path):
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    image = tf.image.resize(image, files.shape[:2], antialias=True)
    return tf.cast(tf.round(image), tf.uint8)

  dataset = tf.data.Dataset.from_tensor_slices(files.paths).repeat()
  dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
  return dataset.prefetch(2).as_numpy_iterator()


def line_up(files: Files, batch_size: int) -> dict[str, Iterator[np.ndarray]]:
  """Returns the contestants' batches: ours, and those of the other libraries if installed."""
  names = {"": "one thread", "threads": "threads", "processes": "processes"}
  found = {f"cnnjax, {n}": ours(files, batch_size, by) for by, n in names.items()}
  if importlib.util.find_spec("torchvision"):
    for workers in WORKERS:
      found[f"PyTorch, {workers} workers"] = torch_loader(files, batch_size, workers)
  if importlib.util.find_spec("tensorflow"):
    found["tf.data"] = tf_loader(files, batch_size)
  return found


def turn(batches: Iterator[np.ndarray], batch_size: int, count: int) -> float:
  """Returns the images per second of `count` batches, after those that may have been ready."""
  for _ in range(READY):
    next(batches)
  start = time.perf_counter()
  for _ in range(count):
    next(batches)
  return batch_size * count / (time.perf_counter() - start)


def decoding(config: Any, batch_size: int, count: int, rounds: int) -> dict[str, Any]:
  """Prints and returns the speed of each on the training files of a config.

  Raises: UserError where its data are no image files, or PyTorch's pixels differ from ours.
  """
  data = config.data.copy_and_resolve_references()
  with data.unlocked():
    data.arguments = {**data.arguments, "stream": "threads"}
  image = catalogue.load(data, config.seed)["train"].columns["image"]
  if not isinstance(image, Stream) or not isinstance(image.read, Files):
    raise UserError(f"--decode reads image files, but data.name is {data.name}; expected folder")
  everyone = line_up(image.read, batch_size)
  first = {name: next(batches) for name, batches in everyone.items()}
  want = first["cnnjax, one thread"].astype(int)
  apart = {n: float(np.abs(b - want).mean()) for n, b in first.items()}
  if odd := [name for name, levels in apart.items() if levels and name != "tf.data"]:
    raise UserError(f"{odd[0]} makes other pixels than cnnjax does; nothing was timed")
  timers: dict[str, Callable[[], float]] = {
    name: partial(turn, batches, batch_size, count) for name, batches in everyone.items()
  }
  rates = take_turns(timers, rounds)
  rows = {
    name: {
      "images/s": f"{np.median(rate):,.0f}",
      "cnnjax, threads, is, times": as_text(ratio(rates["cnnjax, threads"], rate)),
      "levels apart": f"{apart[name]:.2f}",
    }
    for name, rate in rates.items()
  }
  shape = "x".join(map(str, image.read.shape))
  log.grid(f"reading and resizing to {shape}, batch {batch_size}", rows)
  return {"shape": image.read.shape, "batch": batch_size, "levels_apart": apart, "rounds": rates}

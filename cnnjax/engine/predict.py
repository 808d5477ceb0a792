"""Predictions for a user's examples."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax.data import inputs, pipeline
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.config import tuples
from cnnjax.engine.mesh import make_mesh, shard
from cnnjax.engine.prompted import answers as of_prompts
from cnnjax.engine.segment import segment_all
from cnnjax.engine.step import predict_step
from cnnjax.errors import UserError
from cnnjax.metrics.masks import paste
from cnnjax.models.weights import labels
from cnnjax.tasks import task as task_of

Answers = list[dict[str, Any]]
NUMBERS = "biuf"  # kinds of NumPy's types
READ = 16  # files that are read at a time


def predict(
  model: Any,
  variables: dict[str, Any],
  examples: np.ndarray | str | Path | Sequence[np.ndarray | str | Path],
  *,
  task: str = "",
  classes: Sequence[str] = (),
  batch_size: int = 64,
  proposals: Mapping[str, Any] | None = None,
  boxes: Sequence[Any] | None = None,
  points: Sequence[Any] | None = None,
  **options: Any,
) -> Answers:
  """Returns one answer for each example; `model.preprocessing` says how examples are prepared.

  An answer of classification holds `label`, `probability` and `probabilities` [C]; of multilabel
  `labels` [L] of 0 and 1 and `probabilities` [L]; of regression `values` [T]; of detection, best
  first, `boxes` [K, 4] in pixels of that image, `labels` [K], `scores` [K], and, where the network
  predicts them, `masks`, an array bool [K, H, W]; of segmentation `segments`, the class of each
  pixel of that image, an array uint8 [H, W]; of promptable `masks` of P prompts, an array bool
  [P, H, W], the `iou` [P] with the object that the network expects of each, and its `pixels` [P].
  With names in `classes` an answer also holds `class`, `classes`, or `targets` or `pixels` by name.

  Args:
    model: of the zoo.
    variables: of the model.
    examples: images, uint8 or float from 0 to 1: [N, H, W, C], or any sequence of [H, W] or
      [H, W, C]. Of another kind of input, what the kind's `fit` takes, such as series [N, L, C],
      [L] or [L, C]. A path of a file, or paths among the examples, are read, a few at a time; a
      file of series may hold several examples.
    task: name of the task; by default detection for a detector, else classification.
    classes: names of the labels; by default those of the model's published weights, if any.
    batch_size: largest number of examples computed at once.
    proposals: options of `data.proposals.find`, for a detector that needs proposals.
    boxes: prompts of the task promptable, for each image (x0, y0, x1, y1), or several, in pixels of
      it; without any prompt, the whole image is the box.
    points: for each image (x, y), or several, which show one object, together, and with the box
      where there is one; (x, y, 0) is a point beside it.
    options: of the task, such as the `mean` and `std` of regression.

  Raises: UserError for an array or a file that is no example, an unknown task, and an unknown
    option of it; for prompts that are none, and where the task takes none.
  """
  task = task or getattr(model, "task", "classification")
  if task != "promptable" and not (boxes is None and points is None):
    raise UserError(f"boxes and points are prompts, but the task {task} takes none")
  compiled, mesh = _predictor(model, task, tuple(tuples(options).items()))

  def step(batch, size):
    return jax.device_get(compiled(variables, shard(pipeline.pad(batch, size), mesh)))

  ask = partial(_boxes, proposals=proposals) if task == "detection" else _values
  ask = partial(ask, step, to=model.preprocessing, most=batch_size)
  if task == "segmentation":
    ask = partial(segment_all, model, variables)
  answers = []
  for part in _parts(examples, model.preprocessing):
    if task == "promptable":
      ask = partial(of_prompts, model, variables, boxes=boxes, points=points, first=len(answers))
    answers += ask(part)
  names = labels(model.preprocessing.labels)
  if not classes and len(names) == model.num_classes:
    classes = names
  if classes:
    answers = [task_of(task).named(answer, classes) for answer in answers]
  return answers


def _parts(examples: Any, to: Any) -> Iterator[Any]:
  """Yields the examples as arrays: all at once, or where some are paths, a few at a time."""
  if isinstance(examples, str | PathLike):
    examples = [examples]
  if isinstance(examples, Mapping | bytes) or not isinstance(examples, Iterable):
    raise UserError(f"expected {to.input} arrays, or paths of files; found {_found(examples)}")
  if isinstance(examples, np.ndarray | jax.Array) and np.asarray(examples).dtype.kind in NUMBERS:
    yield np.asarray(examples)
    return
  kind, examples = inputs.kind(to.input), list(examples)
  many = READ if any(isinstance(one, str | PathLike) for one in examples) else len(examples)
  for start in range(0, len(examples), max(many, 1)):
    part = []
    for place, one in enumerate(examples[start : start + many], start):
      part += _read(one, kind, to) if isinstance(one, str | PathLike) else [_array(one, place, to)]
    yield part


def _read(path: str | PathLike, kind: Any, to: Any) -> list[np.ndarray]:
  return list(kind.load(Path(path).expanduser(), to).values())


def _array(example: Any, place: int, to: Any) -> np.ndarray:
  """Returns an example as an array of numbers. Raises: UserError for anything else."""
  try:
    array = np.asanyarray(example)  # a volume knows its spacing
  except (TypeError, ValueError, RuntimeError):  # a list of rows of several lengths, as one
    array = np.asarray(None)
  if array.dtype.kind not in NUMBERS:
    raise UserError(
      f"example {place} is {_found(example)}; expected an array of numbers, an {to.input}, or the "
      "path of a file"
    )
  return array


def _found(value: Any) -> str:
  told = f" {value.dtype} {value.shape}" if hasattr(value, "dtype") else ""
  return f"{type(value).__name__}{told}"


def _values(step: Callable, examples: Any, *, to: Any, most: int) -> Answers:
  """Returns the answers of a network whose input has one fixed shape."""
  columns, answers = inputs.kind(to.input).fit(examples, to), []
  count = len(next(iter(columns.values())))
  size = _few(count, most)
  for start in range(0, count, size):
    found = step({key: column[start : start + size] for key, column in columns.items()}, size)
    there = range(min(size, count - start))
    answers += [{k: v[i].tolist() for k, v in found.items()} for i in there]
  return answers


def _boxes(step: Callable, images: Any, *, to: Any, most: int, proposals: Any) -> Answers:
  """Returns a detector's answer for each image, with boxes in pixels of that image."""
  from cnnjax.data.frame import frames
  from cnnjax.data.proposals import find

  answers = {}
  for frame in frames(images, to, most):
    batch = {"image": frame.image, "extent": frame.extent}
    if proposals:
      batch |= find(np.round(frame.image).astype(np.uint8), **proposals)
    found = step(batch, _few(len(frame.places), most))
    for n, (index, scale) in enumerate(zip(frame.places, frame.scale)):
      there = found["valid"][n]
      answer = {k: v[n][there] for k, v in found.items() if k != "valid"}
      answer["boxes"] = answer["boxes"] / np.tile(scale[::-1], 2)
      masks = answer.pop("masks", None)
      answers[index] = {k: v.tolist() for k, v in answer.items()}
      if masks is not None:
        size = np.shape(images[index])[:2]
        answers[index]["masks"] = paste(masks, answer["boxes"], size)
  return [answers[index] for index in sorted(answers)]


def _few(count: int, most: int) -> int:
  """Returns a batch size for so many examples: a power of 2, so that few shapes are compiled."""
  return min(most, 1 << max(0, count - 1).bit_length())


@lru_cache(maxsize=8)
def _predictor(model: Any, task: str, options: tuple) -> tuple[Callable, Mesh]:
  """Returns the compiled step for a model on one device; it is cached for the next call."""
  mesh = make_mesh(1)
  scale = partial(inputs.scale, preprocessing=model.preprocessing)
  own = task_of(task, model=model, **dict(options))
  step = partial(predict_step, model=model, task=own, scale=scale)
  return compile_step(step, mesh), mesh

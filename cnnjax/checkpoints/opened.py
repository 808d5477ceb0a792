"""Weights without a run: what a file of them is, so that it can be used as it is."""

from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.checkpoints import heads, transfer
from cnnjax.errors import UserError
from cnnjax.models import weights, zoo


class Opened(NamedTuple):
  """A file of weights: the model that they are of, its variables, and what is known of them.

  `classes` are the names of its classes, () where no published set tells them. `published` is the
  row of the set, whose preprocessing the model then has; without one it has the model's default.
  """

  model: Any
  variables: dict[str, Any]
  classes: tuple[str, ...]
  published: weights.Weights | None


def open_weights(name: str, source: str | Path, **arguments: Any) -> Opened:
  """Returns what a file of weights is, a model with as many classes as the file tells apart.

  Args:
    name: of a model of the zoo.
    source: a file or a Hugging Face hub id, as in `load_pretrained`.
    **arguments: of `create_model`; preprocessing and weights where the file's name is not known.

  Raises: UserError where the source is a run, cannot be read, or does not fit the model.
  """
  source = transfer.source_of(source)
  if transfer.is_run(source):
    raise UserError(f"{source} is a run, which has its own model; expected a file of weights")
  zoo.row(name)
  which = arguments.pop("weights", "") or source
  published = weights.known(name, which)
  if published:
    arguments = {"preprocessing": published.preprocessing, **arguments}
  model = zoo.create_model(name, **arguments)
  input = transfer.input_of(name, model)
  found, leaves = transfer.from_file(name, model, source, which), transfer.shapes(model, input)
  if "num_classes" not in arguments:
    count = heads.count(found, transfer.head_of(model, leaves, input))
    model = model.clone(num_classes=count or model.num_classes)
  taken = transfer.fitting(name, source, found, transfer.shapes(model, input))
  names = weights.labels(published.preprocessing.labels) if published else ()
  names = names if len(names) == model.num_classes else ()
  return Opened(model, transfer.nested(taken), names, published)

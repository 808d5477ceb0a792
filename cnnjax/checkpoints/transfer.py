"""Conversion of weights between our variables and other libraries' files."""

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from cnnjax import keys
from cnnjax.checkpoints import files, heads
from cnnjax.checkpoints.match import Flat, key, overlap, take, to_theirs
from cnnjax.checkpoints.port import namings
from cnnjax.checkpoints.store import Store
from cnnjax.data import inputs
from cnnjax.errors import UserError, some
from cnnjax.layers.norm import EPSILON
from cnnjax.models import weights, zoo
from cnnjax.models.classification.i3d import inflated


def load_pretrained(
  name: str,
  source: str | Path,
  *,
  seed: int = 0,
  trunk_only: bool = False,
  classes: Sequence[str] = (),
  **arguments: Any,
) -> dict[str, Any]:
  """Returns the variables of create_model(name, **arguments) with the weights of a source.

  The layers that depend on the classes keep their initial weights where the source has another
  number of classes, or is a run of ours with other names of them; a warning says so. Where a run
  has the same names in another order, they are brought into the order of `classes`.

  Args:
    name: of a model of the zoo.
    source: a .safetensors file, a PyTorch file, a run folder of ours, or a Hugging Face hub id.
      Names of tensors may be torchvision's, timm's or another's of `port/`, which is detected. With
      trunk_only the source of a detector may also be the classifier whose trunk it has; I3D's is
      that of images, whose kernels are inflated.
    seed: of the layers that keep their initial weights.
    trunk_only: whether all layers but the trunk keep their initial weights.
    classes: names of the model's classes in their order; () where they are not known.
    **arguments: of `create_model`.

  Raises: UserError where the source cannot be read, or does not fit the model: nothing is loaded.
  """
  model, source = zoo.create_model(name, **arguments), source_of(source)
  if isinstance(classes, str) or (len(classes) and len(classes) != model.num_classes):
    raise UserError(
      f"classes must name the {model.num_classes} classes of the model, found {zoo.shown(classes)}"
    )
  if not isinstance(seed, int | np.integer):
    raise UserError(f"seed must be an integer, found {zoo.shown(seed)}")
  input = input_of(name, model)
  wanted = shapes(model, input)
  left = {path for path in wanted if path[1] != "trunk"} if trunk_only else set()
  if left == set(wanted):
    raise UserError(f"{name} has no trunk to load")
  if is_run(source):
    found, theirs = _ours(name, Path(source).expanduser(), trunk_only)
  else:
    which = arguments.get("weights") or source
    found, theirs = from_file(name, model, source, which, trunk_only), _labels(name, which, classes)
  for path, leaf in found.items():
    if leaf.ndim == 4 and path in wanted and wanted[path].ndim == 5:
      found[path] = inflated(leaf)
  classes, misfits = tuple(classes), _misfits(found, wanted)
  if not trunk_only and (misfits or (classes and classes != theirs)):
    head = head_of(model, wanted, input)
    if set(misfits) <= set(head):
      found, left = heads.meet(found, head, source, theirs, classes, model.num_classes)
  taken = fitting(name, source, found, {p: v for p, v in wanted.items() if p not in left})
  return nested({**taken, **(_fresh(model, input, seed, left) if left else {})})


def fitting(name: str, source: str, found: Flat, wanted: Flat) -> Flat:
  """Returns the wanted leaves. Raises: UserError where one is missing or has another shape."""
  if misfits := _misfits(found, wanted):
    shown = (
      f"{'/'.join(p)} {found[p].shape if p in found else 'missing'}, expected {wanted[p].shape}"
      for p in misfits
    )
    raise UserError(f"{source} does not fit {name}: {some(shown, '; ')}")
  return {path: found[path] for path in wanted}


def _misfits(found: Flat, wanted: Flat) -> list[tuple[str, ...]]:
  return [p for p in wanted if p not in found or found[p].shape != wanted[p].shape]


def input_of(name: str, model: Any) -> tuple[int, ...]:
  """Returns the shape of an input with which a model of the zoo can be initialised."""
  return model.preprocessing.shape or zoo.row(name).input


def head_of(model: Any, leaves: Flat, input: tuple[int, ...]) -> dict[Any, heads.Places]:
  """Returns where the classes lie in the leaves of a model that depend on their number."""
  more = shapes(model.clone(num_classes=model.num_classes + 1), input)
  return heads.places(leaves, more, model.num_classes)


def source_of(source: Any) -> str:
  """Returns a source as text. Raises: UserError for what is no path."""
  if not isinstance(source, str | os.PathLike) or not str(source):
    raise UserError(
      "weights are loaded from a file, a run folder or a hub id, by its path or name; found "
      f"{zoo.shown(source)}"
    )
  return str(source)


def is_run(source: str) -> bool:
  """Returns whether a source is a run's folder, not one of a model.safetensors and its config."""
  folder = Path(source).expanduser()
  return (folder / "config.json").exists() and not (folder / "model.safetensors").exists()


def _labels(name: str, source: str, classes: Sequence[str]) -> tuple[str, ...]:
  """Returns the names of a published set's classes, if they are `classes` in some order."""
  row = weights.known(name, source)
  names = weights.labels(row.preprocessing.labels) if row else ()
  return names if sorted(names) == sorted(classes) else ()


def from_file(
  name: str, model: Any, source: str, which: str = "", trunk_only: bool = False
) -> Flat:
  """Returns the leaves of a model, with trunk_only at least those of its trunk, from a file.

  `which` names the published set that it is, where the file's own name does not.
  """
  path, input = files.fetch(source), input_of(name, model)
  tensors = files.read(path)
  classifier = getattr(model, "classifier", None) if trunk_only else None

  def seen(one: Any) -> tuple[int, ...]:
    return input if one is model else input[-3:]  # I3D's classifier is of images

  whose = max(
    [one for one in (classifier, model) if one],  # of a detector the classifier whose trunk it has
    key=lambda one: overlap(tensors, namings(one), shapes(one, seen(one))) if classifier else 0,
  )
  asked = shapes(whose, seen(whose))
  optional = {p for p in asked if p[1] != "trunk"} if trunk_only else set()
  found = take(name, path, tensors, namings(whose), asked, optional)
  more = weights.epsilon(name, which or source) - EPSILON  # our epsilon then gives what theirs gave
  return {p: v + np.float32(more) if p[-1] == "var" and more else v for p, v in found.items()}


def _ours(name: str, folder: Path, trunk_only: bool) -> tuple[Flat, tuple[str, ...]]:
  """Returns the latest variables of a run, or their moving average where it keeps one; its classes.

  The run must be of the same model, or with trunk_only of any model with the same trunk.
  """
  path = folder / "config.json"
  try:
    config = keys.fill(json.loads(path.read_text("utf-8")))
    keys.check(config)
    theirs, data = config["model"], config["data"]
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in theirs["arguments"].items()}
    preprocessing = inputs.kind(data["input"]).preprocessing(SimpleNamespace(**data))
    arguments |= dict(num_classes=theirs["num_classes"], preprocessing=preprocessing)
    model, average = zoo.create_model(theirs["name"], **arguments), config["train"]["ema"]
    classes = tuple(map(str, data["classes"]))
  except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
    raise UserError(f"{path} is no run's config, or is damaged: {error}") from error
  if theirs["name"] != name and not trunk_only:
    raise UserError(f"{folder} holds a run of {theirs['name']}, not of {name}")
  if not (folder / "checkpoints").is_dir():
    raise UserError(f"{folder} holds no checkpoint yet")
  expected = nested(shapes(model, preprocessing.shape))
  which = "ema" if average else "variables"
  with Store(folder / "checkpoints", read_only=True) as store:
    place = SingleDeviceSharding(jax.devices()[0])
    step = store.find("latest")
    saved = store.notes(step).get("config", config)["data"]["classes"]
    if tuple(saved) != classes:
      warnings.warn(
        f"{path} was changed after checkpoint {step} was saved: its classes were "
        f"{some(saved, count=10)}; they are taken to be {some(classes, count=10)}",
        stacklevel=3,
      )
    return _flat(store.restore(step, {which: expected}, place)[which]), classes


def _fresh(model: Any, input: tuple[int, ...], seed: int, paths: set[tuple[str, ...]]) -> Flat:
  """Returns the leaves at these paths with their initial values."""

  @jax.jit
  def some(key):
    made = _flat(model.init(key, jnp.zeros((1, *input)), train=False))
    return {"/".join(path): made[path] for path in paths}  # jit computes no others

  return {tuple(path.split("/")): leaf for path, leaf in some(jax.random.key(seed)).items()}


def export(model: Any, variables: dict[str, Any], path: str | Path, naming: str = "") -> None:
  """Writes variables as a safetensors file that PyTorch's models load; see `to_others`.

  Raises: UserError for a model without names elsewhere, variables that are not the model's, or
    where the file cannot be written.
  """
  tensors = to_others(model, variables, naming)
  if not isinstance(path, str | os.PathLike):
    raise UserError(f"export writes to a path, found {zoo.shown(path)}")
  files.write(path, tensors)


def to_others(model: Any, variables: dict[str, Any], naming: str = "") -> files.Tensors:
  """Returns variables as tensors with another library's names and layouts.

  Args:
    model: of the zoo.
    variables: of the model.
    naming: "torchvision", "timm" or another of the model's `port`; by default the first.

  Raises: UserError for a model without names elsewhere, or variables that are not the model's.
  """
  known = namings(model)
  if not known or (naming and naming not in known):
    raise UserError(f"{type(model).__name__} has no names of {naming or 'others'}: {list(known)}")
  leaves, wanted = _flat(variables), set(shapes(model, model.preprocessing.shape or (224, 224, 3)))
  if not isinstance(variables, dict) or set(leaves) != wanted:
    lack, more = (
      ["/".join(p) for p in sorted(s)] for s in (wanted - set(leaves), set(leaves) - wanted)
    )
    raise UserError(
      f"the variables are not those of {type(model).__name__}: missing {len(lack)} "
      f"({some(lack) or 'none'}), not wanted {len(more)} ({some(more) or 'none'})"
    )
  tensors, names = {}, known[naming or next(iter(known))]
  for place, value in leaves.items():
    if not jnp.issubdtype(getattr(value, "dtype", None) or object, jnp.floating):
      raise UserError(f"the variables hold no numbers at {'/'.join(place)}, but {zoo.shown(value)}")
    one, size = key(place, names)
    tensors[one] = to_theirs(np.asarray(value, np.float32), size, place)
    if place[-1] == "mean":
      tensors[one.replace("running_mean", "num_batches_tracked")] = np.zeros((), np.int64)
  return tensors


def shapes(model: Any, input: tuple[int, ...]) -> Flat:
  """Returns the shapes of a model's leaves, by their paths."""
  x = jax.ShapeDtypeStruct((1, *input), jnp.float32)
  return _flat(jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x))


def _flat(tree: Any, path: tuple[str, ...] = ()) -> Flat:
  if not isinstance(tree, dict):
    return {path: tree}
  return {k: v for name, sub in tree.items() for k, v in _flat(sub, (*path, name)).items()}


def nested(flat: Flat) -> dict[str, Any]:
  """Returns the tree of some leaves."""
  tree: dict[str, Any] = {}
  for path, value in flat.items():
    place = tree
    for name in path[:-1]:
      place = place.setdefault(name, {})
    place[path[-1]] = value
  return tree

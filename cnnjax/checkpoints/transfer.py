"""Conversion of weights between our variables and other libraries' files."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from cnnjax.checkpoints import files
from cnnjax.checkpoints.port import Names, namings, translate
from cnnjax.checkpoints.store import Store
from cnnjax.errors import UserError
from cnnjax.layers.norm import EPSILON
from cnnjax.models import weights, zoo
from cnnjax.models.classification.i3d import inflated

LEAVES = {  # our name: PyTorch's
  "kernel": "weight",
  "transposed": "weight",  # a kernel whose file has its last two axes swapped
  "scale": "weight",
  "bias": "bias",
  "mean": "running_mean",
  "var": "running_var",
}
Flat = dict[tuple[str, ...], Any]


def load_pretrained(
  name: str, source: str | Path, *, seed: int = 0, trunk_only: bool = False, **arguments: Any
) -> dict[str, Any]:
  """Returns the variables of create_model(name, **arguments) with the weights of a source.

  Where the source has another number of classes, the layers that depend on it keep their initial
  weights, and a warning says so.

  Args:
    name: of a model of the zoo.
    source: a .safetensors file, a PyTorch file, a run folder of ours, or a Hugging Face hub id.
      Names of tensors may be torchvision's or timm's, which is detected. With trunk_only the source
      of a detector may also be the classifier whose trunk it has; I3D's is that of images, whose
      kernels are inflated.
    seed: of the layers that keep their initial weights.
    trunk_only: whether all layers but the trunk keep their initial weights.
    **arguments: of `create_model`.

  Raises: UserError where the source cannot be read, or does not fit the model: nothing is loaded.
  """
  model, source = zoo.create_model(name, **arguments), str(source)
  input = model.preprocessing.shape or zoo.row(name).input
  wanted = _shapes(model, input)
  outside = {path for path in wanted if path[1] != "trunk"} if trunk_only else set()
  if outside == set(wanted):
    raise UserError(f"{name} has no trunk to load")
  folder = Path(source).expanduser()
  if (folder / "config.json").exists():
    found = _ours(name, folder, trunk_only)
  else:
    path = files.fetch(source)
    tensors = files.read(path)
    whose = _whose(model, tensors, input) if trunk_only else model
    asked = wanted if whose is model else _shapes(whose, input[-3:])  # a classifier of images
    optional = {p for p in asked if p[1] != "trunk"} if trunk_only else set()
    found = _theirs(name, path, tensors, namings(whose), asked, optional)
    found = _with_epsilon(found, weights.epsilon(name, arguments.get("weights") or source))
  for path, leaf in found.items():
    if leaf.ndim == 4 and path in wanted and wanted[path].ndim == 5:
      found[path] = inflated(leaf)
  fits = {p for p in wanted if p in found and found[p].shape == wanted[p].shape}
  left = outside or set(wanted) - fits
  if left and not trunk_only:
    other = zoo.create_model(name, **{**arguments, "num_classes": model.num_classes + 1})
    head = {p for p, leaf in _shapes(other, input).items() if leaf.shape != wanted[p].shape}
    if left <= head:
      classes = found[min(left)].shape[-1]
      layers = sorted({"/".join(path[1:-1]) for path in head})
      warnings.warn(
        f"{source} tells {classes} classes apart and the model {model.num_classes}: "
        f"{_some(layers)} left fresh",
        stacklevel=2,
      )
    left = head
  misfits = [path for path in wanted if path not in fits | left]
  if misfits:
    shown = (
      f"{'/'.join(p)} {found[p].shape if p in found else 'missing'}, expected {wanted[p].shape}"
      for p in misfits
    )
    raise UserError(f"{source} does not fit {name}: {_some(shown, '; ')}")
  made = _fresh(model, input, seed, left) if left else {}
  return _nested({**{path: found[path] for path in fits - left}, **made})


def _whose(model: Any, tensors: files.Tensors, input: tuple[int, ...]) -> Any:
  """Returns the model whose weights a file holds: this one, or the classifier with its trunk."""

  def known(one):
    known_as, paths = namings(one).values(), _shapes(one, input if one is model else input[-3:])
    return len({_key(p, names)[0] for names in known_as for p in paths} & set(tensors))

  return max([*filter(None, [getattr(model, "classifier", None)]), model], key=known)


def _fresh(model: Any, input: tuple[int, ...], seed: int, paths: set[tuple[str, ...]]) -> Flat:
  """Returns the leaves at these paths with their initial values."""

  @jax.jit
  def some(key):
    made = _flat(model.init(key, jnp.zeros((1, *input)), train=False))
    return {"/".join(path): made[path] for path in paths}  # jit computes no others

  return {tuple(path.split("/")): leaf for path, leaf in some(jax.random.key(seed)).items()}


def export(model: Any, variables: dict[str, Any], path: str | Path, naming: str = "") -> None:
  """Writes variables as a safetensors file that PyTorch's models load; see `to_others`.

  Raises: UserError for a model without names elsewhere, or where the file cannot be written.
  """
  files.write(path, to_others(model, variables, naming))


def to_others(model: Any, variables: dict[str, Any], naming: str = "") -> files.Tensors:
  """Returns variables as tensors with torchvision's or timm's names and layouts.

  Args:
    model: of the zoo.
    variables: of the model.
    naming: "torchvision" or "timm"; by default torchvision where it has the model, else timm.

  Raises: UserError for a model without names elsewhere.
  """
  known = namings(model)
  if not known or (naming and naming not in known):
    raise UserError(f"{type(model).__name__} has no names of {naming or 'others'}: {list(known)}")
  tensors, names = {}, known[naming or next(iter(known))]
  for place, value in _flat(variables).items():
    key, size = _key(place, names)
    value = value.swapaxes(-1, -2) if place[-1] == "transposed" else value
    tensors[key] = _to_theirs(np.asarray(value, np.float32), size)
    if place[-1] == "mean":
      tensors[key.replace("running_mean", "num_batches_tracked")] = np.zeros((), np.int64)
  return tensors


def _ours(name: str, folder: Path, trunk_only: bool) -> Flat:
  """Returns the latest variables of a run, or their moving average where it keeps one.

  The run must be of the same model, or with trunk_only of any model with the same trunk.
  """
  config = json.loads((folder / "config.json").read_text())
  theirs, data = config["model"], config["data"]
  if theirs["name"] != name and not trunk_only:
    raise UserError(f"{folder} holds a run of {theirs['name']}, not of {name}")
  arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in theirs["arguments"].items()}
  model = zoo.create_model(theirs["name"], num_classes=theirs["num_classes"], **arguments)
  size = data["crop"] or data["resize"]
  shapes = _nested(_shapes(model, (*size, data["channels"])))
  key = "ema" if config["train"]["ema"] else "variables"
  with Store(folder / "checkpoints", read_only=True) as store:
    place = SingleDeviceSharding(jax.devices()[0])
    return _flat(store.restore(store.find("latest"), {key: shapes}, place)[key])


def _theirs(
  name: str,
  source: Path,
  tensors: files.Tensors,
  known: dict[str, Names],
  wanted: Flat,
  optional: set[tuple[str, ...]],
) -> Flat:
  if not known:
    raise UserError(f"nobody has published weights of {name}; only its own runs can be loaded")
  tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
  keys = {naming: {p: _key(p, names) for p in wanted} for naming, names in known.items()}
  rows = max(keys.values(), key=lambda rows: len({k for k, _ in rows.values()} & set(tensors)))
  missing = sorted({k for p, (k, _) in rows.items() if p not in optional} - set(tensors))
  extra = sorted(set(tensors) - {k for k, _ in rows.values()})
  if missing or extra:
    raise UserError(
      f"{source} does not fit {name}: missing {len(missing)} ({_some(missing) or 'none'}), "
      f"not wanted {len(extra)} ({_some(extra) or 'none'})"
    )
  found = {p: _to_ours(tensors[k], size) for p, (k, size) in rows.items() if k in tensors}
  return {p: v.swapaxes(-1, -2) if p[-1] == "transposed" else v for p, v in found.items()}


def _with_epsilon(found: Flat, epsilon: float) -> Flat:
  """Returns norms' leaves with variances changed so that our epsilon gives what theirs gave."""
  more = epsilon - EPSILON
  return {p: v + np.float32(more) if p[-1] == "var" and more else v for p, v in found.items()}


def _key(path: tuple[str, ...], names: Names) -> tuple[str, tuple[int, int] | None]:
  """Returns the name of a leaf's tensor, and the size of a flattened map if it reads one."""
  prefix, size = translate("/".join(path[1:-1]), names)
  if prefix.endswith("="):
    return prefix[:-1], None
  return f"{prefix}.{LEAVES[path[-1]]}", size if path[-1] == "kernel" else None


def _to_ours(tensor: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
  """[O, I, *window] -> [*window, I, O]; after a flattened map of `size` it is [H W I, O]."""
  if tensor.ndim < 2:
    return tensor
  if size and tensor[0].size % (size[0] * size[1]) == 0:
    maps = tensor.reshape(len(tensor), -1, *size)
    return maps.transpose(2, 3, 1, 0).reshape(-1, len(tensor))
  return np.moveaxis(tensor, (1, 0), (-2, -1))


def _to_theirs(leaf: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
  """The inverse of `_to_ours`."""
  if leaf.ndim < 2:
    return leaf
  if size:
    maps = leaf.reshape(*size, -1, leaf.shape[-1]).transpose(3, 2, 0, 1)
    return maps if size == (1, 1) else maps.reshape(len(maps), -1)
  return np.moveaxis(leaf, (-2, -1), (1, 0))


def _shapes(model: Any, input: tuple[int, ...]) -> Flat:
  x = jax.ShapeDtypeStruct((1, *input), jnp.float32)
  return _flat(jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x))


def _flat(tree: Any, path: tuple[str, ...] = ()) -> Flat:
  if not isinstance(tree, dict):
    return {path: tree}
  return {k: v for name, sub in tree.items() for k, v in _flat(sub, (*path, name)).items()}


def _nested(flat: Flat) -> dict[str, Any]:
  tree: dict[str, Any] = {}
  for path, value in flat.items():
    place = tree
    for name in path[:-1]:
      place = place.setdefault(name, {})
    place[path[-1]] = value
  return tree


def _some(names: Iterable[str], separator: str = ", ") -> str:
  names = list(names)
  more = f"{separator}and {len(names) - 4} more" if len(names) > 4 else ""
  return separator.join(names[:4]) + more

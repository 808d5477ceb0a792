"""Which tensors of a file are a model's, whatever they are wrapped in, and in which layout."""

import warnings
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from cnnjax.checkpoints.files import Tensors
from cnnjax.checkpoints.port import Names, translate
from cnnjax.errors import UserError, some

LEAVES = {  # our name: PyTorch's
  "kernel": "weight",
  "transposed": "weight",  # a kernel whose file has its last two axes swapped
  "embedding": "weight",  # a table, which lies in a file as it does here
  "scale": "weight",
  "bias": "bias",
  "mean": "running_mean",
  "var": "running_var",
}
COUNTERS = ("num_batches_tracked", "total_ops", "total_params")  # beside the weights in a file
Path = tuple[str, ...]
Flat = dict[Path, Any]
Keys = dict[Path, tuple[str, tuple[int, int] | None]]  # of leaves: names, flattened maps' sizes


def take(
  name: str,
  source: Any,
  tensors: Tensors,
  known: dict[str, Names],
  wanted: Collection[Path],
  optional: Collection[Path] = (),
) -> Flat:
  """Returns the leaves of a model that a file holds, in our layout.

  What wraps a network puts a prefix before its names: a module around it ("module.conv1.weight"),
  or the table that it lies in ("state_dict.conv1.weight"). Any prefix is taken off that leaves all
  names which the model wants. Tensors without that prefix are left out, which a warning says.

  Args:
    name: of the model, for messages.
    source: of the tensors, for messages.
    tensors: of the file, by name.
    known: other libraries' names for the model's layers.
    wanted: paths of the model's leaves.
    optional: those of them that the file may lack.

  Raises: UserError where no prefix leaves all wanted names, several do, or one leaves more.
  """
  if not known:
    raise UserError(f"{name} has no names in other libraries: only its own runs can be loaded")
  tensors = {k: v for k, v in tensors.items() if not k.endswith(COUNTERS)}
  found = sorted(_places(tensors, known, wanted), key=lambda place: (place[0], -len(place[1])))
  whole = {  # of two libraries the one with more of its names
    prefix: keys
    for _, prefix, keys in found
    if all(prefix + k in tensors for p, (k, _) in keys.items() if p not in optional)
  }
  if len(whole) > 1:
    raise UserError(
      f"{source} holds {len(whole)} networks that fit {name}, under "
      f"{some(prefix or '(nothing)' for prefix in sorted(whole))}: save the one that you mean alone"
    )
  prefix, keys = whole.popitem() if whole else found[-1][1:]
  keys = {path: (prefix + k, size) for path, (k, size) in keys.items()}
  names, inside = {k for k, _ in keys.values()}, {k for k in tensors if k.startswith(prefix)}
  missing = sorted({k for p, (k, _) in keys.items() if p not in optional} - inside)
  extra = sorted(one for one in inside - names if not _tied(tensors, one, names))
  if missing or extra:
    raise UserError(
      f"{source} does not fit {name}: missing {len(missing)} ({some(missing) or 'none'}), "
      f"not wanted {len(extra)} ({some(extra) or 'none'})"
    )
  if outside := sorted(set(tensors) - inside):
    warnings.warn(
      f"{source}: took the {len(inside)} tensors under {prefix} and left {len(outside)} others out "
      f"({some(outside)})",
      stacklevel=3,
    )
  for one in sorted(names & inside):
    if tensors[one].dtype.kind != "f":
      raise UserError(f"{source} holds {tensors[one].dtype} numbers at {one}, expected floats")
    if not np.isfinite(tensors[one]).all():
      raise UserError(f"{source} holds numbers at {one} that are not finite")
  return {p: _to_ours(tensors[k], size, p) for p, (k, size) in keys.items() if k in tensors}


def overlap(tensors: Tensors, known: dict[str, Names], wanted: Collection[Path]) -> int:
  """Returns how many of a model's names a file has, under the prefix where it has most."""
  return max(place[0] for place in _places(tensors, known, wanted)) if known else 0


def _places(tensors, known, wanted) -> Iterable[tuple[int, str, Keys]]:
  """Yields how many of a library's names stand behind each prefix in a file; "" is always one."""
  for names in known.values():
    keys = {path: key(path, names) for path in wanted}
    those, counts = {k for k, _ in keys.values()}, Counter({"": 0})
    for one in tensors:
      for dot in [-1, *(n for n, letter in enumerate(one) if letter == ".")]:
        if one[dot + 1 :] in those:
          counts[one[: dot + 1]] += 1
    yield from ((number, prefix, keys) for prefix, number in counts.items())


def key(path: Path, names: Names) -> tuple[str, tuple[int, int] | None]:
  """Returns the name of a leaf's tensor, and the size of a flattened map if it reads one."""
  prefix, size = translate("/".join(path[1:-1]), names)
  if prefix.endswith("="):
    return prefix[:-1], None
  return f"{prefix}.{LEAVES[path[-1]]}", size if path[-1] == "kernel" else None


def _tied(tensors: Tensors, one: str, names: Collection[str]) -> bool:
  """Returns whether a tensor is a copy of a named one: PyTorch's files hold shared weights twice.

  Vectors do not count, for many a bias is zero.
  """
  mine = tensors[one]
  return mine.ndim > 1 and any(np.array_equal(mine, tensors[k]) for k in names if k in tensors)


def _to_ours(tensor: np.ndarray, size: tuple[int, int] | None, path: Path) -> np.ndarray:
  """[O, I, *window] -> [*window, I, O]; after a flattened map of `size` it is [H W I, O]."""
  if tensor.ndim < 2 or path[-1] == "embedding":
    return tensor
  if size and tensor.size and tensor[0].size % (size[0] * size[1]) == 0:
    maps = tensor.reshape(len(tensor), -1, *size)
    return maps.transpose(2, 3, 1, 0).reshape(-1, len(tensor))
  leaf = np.moveaxis(tensor, (1, 0), (-2, -1))
  return leaf.swapaxes(-1, -2) if path[-1] == "transposed" else leaf


def to_theirs(leaf: np.ndarray, size: tuple[int, int] | None, path: Path) -> np.ndarray:
  """The inverse: a leaf as another library keeps it."""
  if leaf.ndim < 2 or path[-1] == "embedding":
    return leaf
  if size:
    maps = leaf.reshape(*size, -1, leaf.shape[-1]).transpose(3, 2, 0, 1)
    return maps if size == (1, 1) else maps.reshape(len(maps), -1)
  leaf = leaf.swapaxes(-1, -2) if path[-1] == "transposed" else leaf
  return np.moveaxis(leaf, (-2, -1), (1, 0))

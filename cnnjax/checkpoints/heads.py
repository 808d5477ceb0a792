"""Where the classes lie in the layers that depend on their number, and how they change places.

Classes lie in the last axis of a leaf. It holds groups of equal length (the anchors of SSD, the
cells of YOLO), a group some places before the classes (the background, YOLO's boxes) and then the
classes in their order, each with as many numbers as `TOGETHER` says of the layer. All else is read
off the leaf's length for one class more.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.checkpoints.match import Flat, Path
from cnnjax.errors import some

TOGETHER = {"offsets": 4, "regression": 4}  # the numbers of a class's box; elsewhere 1


class Places(NamedTuple):
  """Of a last axis [groups, first + classes, together]: all but the number of classes."""

  groups: int
  first: int
  together: int


def places(leaves: Flat, more: Flat, classes: int) -> dict[Path, Places]:
  """Returns where the classes lie in each leaf that depends on their number.

  Args:
    leaves: of the model, or their shapes.
    more: the same for one class more.
    classes: number of them.
  """
  found = {}
  for path, leaf in leaves.items():
    if grown := more[path].shape[-1:] != leaf.shape[-1:] and more[path].shape[-1] - leaf.shape[-1]:
      together = TOGETHER.get(path[-2], 1)
      found[path] = Places(grown // together, leaf.shape[-1] // grown - classes, together)
  return found


def count(found: Flat, head: dict[Path, Places]) -> int:
  """Returns the number of classes that leaves tell apart; 0 where none depends on it."""
  for path, at in head.items():
    if path in found:
      return found[path].shape[-1] // (at.groups * at.together) - at.first
  return 0


def reorder(leaf: Any, at: Places, order: Sequence[int]) -> np.ndarray:
  """Returns a leaf whose class i is the class order[i] of the given one."""
  leaf = np.asarray(leaf)
  parts = leaf.reshape(*leaf.shape[:-1], at.groups, -1, at.together)
  index = np.concatenate([np.arange(at.first), at.first + np.asarray(order)])
  return parts[..., index, :].reshape(leaf.shape)


def meet(
  found: Flat,
  head: dict[Path, Places],
  source: str,
  theirs: tuple[str, ...],
  classes: tuple[str, ...],
  number: int,
) -> tuple[Flat, set[Path]]:
  """Returns leaves of a source brought to a model's classes, and which must be made afresh.

  The same names in another order change places. Other names, even some of them, or another number
  leave all of the head fresh, and a warning says so, as it does where a source tells no names.

  Args:
    found: the source's leaves.
    head: where the classes lie, of the leaves that depend on them.
    source: for messages.
    theirs: the names of the source's classes, () where it tells none.
    classes: those of the model's, () where they are not known.
    number: of the model's classes.
  """
  layers = some(sorted({"/".join(path[1:-1]) for path in head})) or "none of its layers"
  there = count(found, head)
  if there != number and head:
    ours = f"{number} ({some(classes, count=10)})" if classes else f"{number}"
    them = f"{there} classes ({some(theirs, count=10)})" if theirs else f"{there} classes"
    warnings.warn(
      f"{source} tells {them} apart and the model {ours}: {layers} left fresh", stacklevel=3
    )
    return found, set(head)
  if theirs == classes or not classes:
    return found, set()
  if not theirs:
    warnings.warn(
      f"{source} does not name its classes: {layers} taken over as if they were "
      f"{some(classes, count=10)}, in this order",
      stacklevel=3,
    )
    return found, set()
  if sorted(theirs) == sorted(classes) and len(set(classes)) == len(classes) and head:
    order = [theirs.index(name) for name in classes]
    return {p: reorder(v, head[p], order) if p in head else v for p, v in found.items()}, set()
  warnings.warn(
    f"{source} tells {some(theirs, count=10)} apart and the model {some(classes, count=10)}: "
    f"{layers} left fresh",
    stacklevel=3,
  )
  return found, set(head)

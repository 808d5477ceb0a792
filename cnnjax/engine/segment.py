"""Class maps of a user's images, at the size that they have."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnnjax.data import inputs
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.mesh import local_rows, make_mesh, shard
from cnnjax.engine.tiles import slabs
from cnnjax.errors import UserError, say

MANY = 8  # windows that are computed at once
ROWS = 64  # rows of a map that are enlarged at a time


def segment_all(
  model: Any, variables: dict[str, Any], images: Sequence[np.ndarray]
) -> list[dict[str, np.ndarray]]:
  """Returns an answer for each image, with its map as `segments`; see `segment`."""
  return [{"segments": segment(model, variables, image)} for image in images]


def segment(
  model: Any, variables: dict[str, Any], image: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
  """Returns the class of each pixel of an image, uint8 [*S].

  The image is prepared as `model.preprocessing` says. Where it was resized for the network, the
  logits are brought to the image's size, by linear interpolation, before the best is taken. Where
  the network sees windows of images that are not resized, image and map may be larger than the
  memory: they are read and written part by part.

  Args:
    model: of the zoo.
    variables: of the model.
    image: what the kind of input takes: of images uint8, or float from 0 to 1, [H, W], [H, W, 1] or
      [H, W, 3]. A memory map of uint8 [H, W, channels] stays one.
    out: where the map is written, such as a memory map; a new array by default.

  Raises: UserError for an array that is no image, and for a preprocessing that cuts images.
  """
  to = model.preprocessing
  if getattr(to, "crop", None):
    raise UserError(f"a class map needs the whole image, but data.crop is {to.crop}; expected ()")
  kind, ready = inputs.kind(to.input), image
  as_it_is = image.dtype == np.uint8 and image.shape[2:] == (to.channels,)
  if getattr(to, "resize", None) or getattr(to, "ragged", False) or not as_it_is:
    ready = kind.fit([image], to)[kind.COLUMNS[0]][0]
  size = image.shape[: ready.ndim - 1]
  out = np.empty(size, np.uint8) if out is None else out
  if to.tile and any(have < want for have, want in zip(ready.shape, to.tile)):
    have, want = ("x".join(map(str, sides)) for sides in (ready.shape[:-1], to.tile))
    say(f"an image of {have} is smaller than the window {want}: it is mirrored at its borders")
  for part, logits in answered(model, variables, ready, size):
    out[part] = logits.argmax(-1)
  return out


def answered(
  model: Any,
  variables: dict[str, Any],
  ready: np.ndarray,
  size: Sequence[int],
  mesh: Mesh | None = None,
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
  """Yields the parts of an image, as slices of its pixels, with their logits [..., C].

  Args:
    model: of the zoo.
    variables: of the model.
    ready: the image as the network sees it, [*S, channels].
    size: of the image whose pixels are answered, [*S] or another.
    mesh: of devices, among which windows are divided; by default one.
  """
  to, seen = model.preprocessing, ready.shape[:-1]
  window = to.tile or seen
  mesh = mesh or make_mesh(1)
  step, compiled = _logits(model, mesh)
  of_one = jax.eval_shape(step, variables, jnp.zeros((1, *window, ready.shape[-1]), ready.dtype))
  least = mesh.shape["data"]
  most = -(-MANY // least) * least
  options = dict(inner=of_one.shape[1:-1], overlap=to.overlap, many=most, least=least)
  parts = slabs(partial(compiled, variables), ready, window, **options)
  if seen != tuple(size):
    whole = np.concatenate([logits for _, logits in parts], int(np.argmax(seen)))
    parts = enlarged(whole, size)
  yield from parts


def enlarged(
  values: np.ndarray, size: Sequence[int]
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
  """Yields values [*S, C] brought to another size, by linear interpolation, some rows at a time.

  Pixel i spans i to i + 1, and what lies beyond the outer pixels' centres is as they are.
  """
  for start in range(0, size[0], ROWS):
    rows = slice(start, min(start + ROWS, size[0]))
    found = values
    for axis, (have, want) in enumerate(zip(values.shape, size)):
      at = np.arange(want)[rows if axis == 0 else slice(None)]
      place = np.clip((at + 0.5) * have / want - 0.5, 0, have - 1)
      low = np.minimum(place.astype(int), max(0, have - 2))
      part = (place - low).reshape(-1, *(1,) * (values.ndim - 1 - axis)).astype(values.dtype)
      after = found.take(np.minimum(low + 1, have - 1), axis)
      found = found.take(low, axis) * (1 - part) + after * part
    yield (rows, *(slice(0, want) for want in size[1:])), found


@lru_cache(maxsize=8)
def _logits(model: Any, mesh: Mesh) -> tuple[Callable, Callable]:
  """Returns (variables, windows) -> their logits, as it is, and compiled for a mesh."""
  kind = inputs.kind(model.preprocessing.input)

  def step(variables, windows):
    batch = kind.scale({kind.COLUMNS[0]: windows}, model.preprocessing)
    return model.apply(variables, kind.read(batch), train=False)["logits"]

  compiled = compile_step(step, mesh)

  def call(variables, windows):
    return compiled(variables, shard(windows[local_rows(len(windows), mesh)], mesh))

  return step, call

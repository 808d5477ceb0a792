"""Logits of images by overlapping windows, which need little more memory than one row of them.

The windows lie on a grid whose last ones end with the image. Where several cover a pixel, its
logits are their weighted mean. A network without padding gives logits for the centre of a window
alone: then the image is mirrored at its borders, and the centres are laid side by side
(arXiv:1505.04597, figure 2).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.window import piece
from cnnjax.errors import UserError, unknown
from cnnjax.metrics.segmentation import pixels

SHARP = 8  # windows are so many standard deviations of the Gaussian wide (nnU-Net's choice)
WEIGHTS = ("gaussian", "uniform")


def starts(size: int, window: int, overlap: float) -> list[int]:
  """Returns where windows begin along an axis: evenly, at most window (1 - overlap) apart.

  Raises: UserError for an overlap that is not from 0 to below 1.
  """
  if not 0 <= overlap < 1:
    raise UserError(f"windows must overlap by a part from 0 to below 1; found {overlap}")
  step = max(1, int(window * (1 - overlap)))
  count = 1 + math.ceil(max(0, size - window) / step)
  return np.round(np.linspace(0, max(0, size - window), count)).astype(int).tolist()


def weights(size: int, window: int, overlap: float, kind: str = "gaussian") -> np.ndarray:
  """Returns the weights [N, window] of windows along an axis, which add up to 1 at each place.

  Since a grid is a product of its axes, so are the weights in several dimensions.

  Raises: UserError for a kind that is not in `WEIGHTS`.
  """
  if kind not in WEIGHTS:
    raise unknown("weights of windows", kind, WEIGHTS)
  away = SHARP * (np.arange(window) - (window - 1) / 2) / window
  one = np.exp(-(away**2) / 2) if kind == "gaussian" else np.ones(window)
  places = starts(size, window, overlap)
  total = np.zeros(max(size, window))
  for start in places:
    total[start : start + window] += one
  return np.stack([one / total[start : start + window] for start in places]).astype(np.float32)


def slabs(
  step: Callable[[np.ndarray], np.ndarray],
  image: np.ndarray,
  window: Sequence[int],
  *,
  inner: Sequence[int] | None = None,
  overlap: float = 0.5,
  kind: str = "gaussian",
  many: int = 8,
  least: int = 1,
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
  """Yields the parts of an image, one after the other along its longest axis, with their logits.

  A part is the slices of its pixels; its logits are float32 [..., C]. They are yielded once no
  window to come covers them, so that only one row of windows is ever held.

  Args:
    step: windows [N, *window, channels] -> logits [N, *S, C], for few different N.
    image: [*size, channels], which may be a memory map; of two or three dimensions.
    window: (height, width) or (depth, height, width). An image that is smaller is mirrored at its
      borders to this size.
    inner: S, smaller than the window where the network has no padding; by default the window.
    overlap: part of a window, at least, that the next one covers too.
    kind: "gaussian" weights, by which a window counts most at its centre, or "uniform" ones.
    many: windows that are computed at once, at most; `least` times a power of 2.
    least: number of devices, by which that of the windows can be divided.
  """
  size, window = image.shape[:-1], tuple(window)
  inner = window if inner is None else tuple(inner)
  margin = [(w - i) // 2 for w, i in zip(window, inner)]
  grid = [starts(s, i, overlap) for s, i in zip(size, inner)]
  share = [weights(s, i, overlap, kind) for s, i in zip(size, inner)]
  axis = int(np.argmax(size))
  rest = [n for n in range(len(size)) if n != axis]
  held = [inner[n] if n == axis else max(size[n], inner[n]) for n in range(len(size))]
  sums, ends = None, [*grid[axis][1:], size[axis]]
  places = list(product(*(range(len(grid[n])) for n in rest)))
  many = min(many, least << (-(-len(places) // least) - 1).bit_length())
  for row, (start, end) in enumerate(zip(grid[axis], ends)):
    for first in range(0, len(places), many):
      chosen = [[*p[:axis], row, *p[axis:]] for p in places[first : first + many]]
      corners = [[of[n] for of, n in zip(grid, one)] for one in chosen]
      cut = np.stack([piece(image, np.subtract(c, margin).tolist(), window) for c in corners])
      cut = np.pad(cut, [(0, many - len(cut))] + [(0, 0)] * (cut.ndim - 1))
      found = np.asarray(step(cut))
      sums = np.zeros((*held, found.shape[-1]), np.float32) if sums is None else sums
      for one, corner, logits in zip(chosen, corners, found):
        where = [slice(c, c + i) for c, i in zip(corner, inner)]
        where[axis] = slice(None)
        sums[tuple(where)] += logits * _outer([of[n] for of, n in zip(share, one)])
    done = end - start
    part = [slice(0, s) for s in size]
    part[axis] = slice(start, end)
    ready = np.moveaxis(np.moveaxis(sums, axis, 0)[:done], 0, axis)
    yield tuple(part), ready[tuple(slice(0, p.stop - p.start) for p in part)]
    last, sums = np.moveaxis(sums, axis, 0), np.zeros_like(sums)
    np.moveaxis(sums, axis, 0)[: len(last) - done] = last[done:]


def class_map(
  step: Callable[[np.ndarray], np.ndarray],
  image: np.ndarray,
  window: Sequence[int],
  out: np.ndarray | None = None,
  **options: object,
) -> np.ndarray:
  """Returns the best class of each pixel of an image, uint8 [*size].

  Arguments are those of `slabs`; `out` [*size], such as a memory map, is filled and returned.
  """
  out = np.empty(image.shape[:-1], np.uint8) if out is None else out
  for part, logits in slabs(step, image, window, **options):
    out[part] = logits.argmax(-1)
  return out


def found(
  apply: Callable[[jax.Array], dict],
  image: jax.Array,
  truth: jax.Array,
  window: Sequence[int],
  overlap: float = 0.5,
) -> dict[str, jax.Array]:
  """Returns `metrics.segmentation.pixels` of a batch, by Gaussian windows, inside a compiled step.

  The logits of one row of windows are held at a time, never those of whole images.

  Args:
    apply: windows [B, *window, channels] -> outputs with `logits` [B, *S, C].
    image: [B, *size, channels], not smaller than the window.
    truth: [B, *size].
    window: as for `slabs`.
    overlap: as for `slabs`.
  """
  size, window = image.shape[1:-1], tuple(window)
  wide = (len(image), *window, image.shape[-1])
  _, *inner, classes = jax.eval_shape(apply, jax.ShapeDtypeStruct(wide, image.dtype))[
    "logits"
  ].shape
  margin = [(w - i) // 2 for w, i in zip(window, inner)]
  beside = [(m, w - i - m) for m, w, i in zip(margin, window, inner)]
  image = jnp.pad(image, [(0, 0), *beside, (0, 0)], "reflect")
  grid = [jnp.asarray(starts(s, i, overlap)) for s, i in zip(size, inner)]
  share = [jnp.asarray(weights(s, i, overlap)) for s, i in zip(size, inner)]
  rest = jnp.stack(jnp.meshgrid(*(jnp.arange(len(g)) for g in grid[1:]), indexing="ij"), -1)
  rest = rest.reshape(-1, len(size) - 1)

  def add(sums, at):
    corner = [of[n] for of, n in zip(grid, at)]
    part = apply(jax.lax.dynamic_slice(image, (0, *corner, 0), wide))["logits"].astype(jnp.float32)
    part *= _outer([of[n] for of, n in zip(share, at)])
    place = (0, 0, *corner[1:], 0)
    before = jax.lax.dynamic_slice(sums, place, part.shape)
    return jax.lax.dynamic_update_slice(sums, before + part, place), None

  def row(carry, at):
    sums, maps, last = carry
    start = grid[0][at]
    swept = jnp.concatenate([sums, jnp.zeros_like(sums)], 1)
    sums = jax.lax.dynamic_slice_in_dim(swept, start - last, inner[0], 1)
    places = jnp.concatenate([jnp.full((len(rest), 1), at), rest], 1)
    sums, _ = jax.lax.scan(add, sums, places)
    # Rows that later windows cover too are written again by these.
    there = pixels(sums, jax.lax.dynamic_slice_in_dim(truth, start, inner[0], 1))
    place = (0, start, *(0 for _ in size[1:]))
    maps = {k: jax.lax.dynamic_update_slice(m, there[k], place) for k, m in maps.items()}
    return (sums, maps, start), None

  sums = jnp.zeros((len(image), inner[0], *size[1:], classes))
  maps = {"segments": jnp.zeros(truth.shape, jnp.uint8), "cost": jnp.zeros(truth.shape)}
  (_, maps, _), _ = jax.lax.scan(row, (sums, maps, jnp.asarray(0)), jnp.arange(len(grid[0])))
  return maps


def _outer(each):
  """Returns the product of weights [S_n] along their axes, [*S, 1]."""
  shapes = [[-1 if k == n else 1 for k in range(len(each) + 1)] for n in range(len(each))]
  return math.prod(one.reshape(shape) for one, shape in zip(each, shapes))

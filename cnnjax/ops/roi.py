"""Maxima of a feature map in the parts of many boxes: RoI max pooling and SPPnet's pyramid."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Size = tuple[int, int]
FAR = 2**20  # cells from the map's corner; sums of larger coordinates would not fit into 32 bits


def fast_rcnn_cells(boxes: jax.Array, scale: float) -> jax.Array:
  """Returns the first and last cells (x0, y0, x1, y1) that boxes [..., 4] in pixels cover.

  Corners are rounded to cells, halves away from 0 (arXiv:1504.08083, section 2.1, as in Caffe).
  """
  return _whole(lax.round(boxes * scale, lax.RoundingMethod.AWAY_FROM_ZERO))


def sppnet_cells(boxes: jax.Array, scale: float) -> jax.Array:
  """Returns the first and last cells whose receptive fields are centred in boxes [..., 4], pixels.

  They are floor(x0 s) + 1 and ceil(x1 s) - 1 (arXiv:1406.4729, appendix).
  """
  cells = boxes * scale
  low, high = jnp.floor(cells[..., :2]) + 1, jnp.ceil(cells[..., 2:]) - 1
  return _whole(jnp.concatenate([low, high], -1))


def roi_pool(features: jax.Array, boxes: jax.Array, size: Size, scale: float) -> jax.Array:
  """Returns the maxima [B, K, *size, C] of features [B, H, W, C] in parts of boxes [B, K, 4].

  Args:
    features: floats.
    boxes: in pixels of the image; a part that lies outside it is 0.
    size: (rows, columns) of parts, which share cells where they do not divide the box.
    scale: cells a pixel, such as 1 / 16.

  The gradient goes to the first maximum (arXiv:1504.08083). Torchvision's parts are computed in
  float32 and can be one cell longer, in boxes of 57 cells or more.
  """
  return max_in_cells(features, fast_rcnn_cells(boxes, scale), size)


def pyramid_pool(
  features: jax.Array, boxes: jax.Array, scale: float, sizes: Sequence[int] = (1, 2, 3, 6)
) -> jax.Array:
  """Returns maxima [B, K, sum of sizes squared, C] of features [B, H, W, C] in boxes [B, K, 4].

  SPPnet's pyramid (arXiv:1406.4729, section 4.1). Each size must divide the largest, of whose parts
  its own are unions.

  Raises: ValueError for other sizes.
  """
  finest = max(sizes)
  if any(finest % n for n in sizes):
    raise ValueError(f"the sizes of a pyramid must divide the largest; found {tuple(sizes)}")
  fine = max_in_cells(features, sppnet_cells(boxes, scale), (finest, finest))
  *lead, _, _, channels = fine.shape
  parts = [fine.reshape(*lead, n, finest // n, n, finest // n, channels) for n in sizes]
  flat = [part.max((-4, -2)).reshape(*lead, -1, channels) for part in parts]
  return jnp.concatenate(flat, -2)


def max_in_cells(features: jax.Array, cells: jax.Array, size: Size) -> jax.Array:
  """Returns the maxima [B, K, *size, C] of features [B, H, W, C] in parts of cells [B, K, 4].

  `cells` are integers (x0, y0, x1, y1), the last included; a box whose last cell comes before its
  first counts as one cell long.
  """
  return _max_in_cells(features, cells, size)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _max_in_cells(features, cells, size):
  return _pool(features, cells, size, winners=False)[0]


def _forward(features, cells, size):
  found, winner = _pool(features, cells, size, winners=True)
  return found, (winner, features)


def _backward(size, kept, gradient):
  winner, features = kept
  channels, won = features.shape[-1], winner >= 0
  index = jnp.where(won, winner, 0) * channels + jnp.arange(channels)
  flat = jnp.zeros(features.size, jnp.promote_types(gradient.dtype, jnp.float32)).at[index.ravel()]
  flat = flat.add(jnp.where(won, gradient, 0).ravel(), mode="promise_in_bounds")  # faster unchecked
  return flat.reshape(features.shape).astype(features.dtype), None


_max_in_cells.defvjp(_forward, _backward)


def _pool(features, cells, size, winners):
  """Returns the maxima [B, K, *size, C], with `winners` also the index of each in B H W cells.

  A table holds the maximum of every window of 2^i x 2^j cells, up to the largest that fits into a
  part of a box inside the map. Four windows, flush with the corners of a part, then cover it; the
  parts of boxes that reach far out of the map are larger and take more.
  """
  batch, height, width, channels = features.shape
  depth = [_depth(length, parts) for length, parts in zip((height, width), size)]
  down = _span(cells[..., 1], cells[..., 3], size[0], height, depth[0])
  across = _span(cells[..., 0], cells[..., 2], size[1], width, depth[1])
  table = _table(features, depth, winners)
  level = down.level[..., :, None] * depth[1] + across.level[..., None, :]
  first = level * batch + jnp.arange(batch)[:, None, None, None]

  def window(i, j):
    y = jnp.clip(down.start + i * down.reach, 0, down.stop - down.reach)[..., :, None]
    x = jnp.clip(across.start + j * across.reach, 0, across.stop - across.reach)[..., None, :]
    row = jnp.maximum((first * height + y) * width + x, 0)
    return jax.tree.map(lambda part: part[row], table)

  best = window(0, 0)
  for i, j in ((0, 1), (1, 0), (1, 1)):
    best = _better(best, window(i, j))
  tall, wide = (jnp.max(-(-(s.stop - s.start) // s.reach), initial=0) for s in (down, across))
  more = jnp.where(jnp.maximum(tall, wide) > 2, tall * wide, 0)
  best = lax.fori_loop(0, more, lambda n, b: _better(b, window(n // wide, n % wide)), best)
  empty = (down.stop <= down.start)[..., :, None] | (across.stop <= across.start)[..., None, :]
  return tuple(jnp.where(empty[..., None], none, part) for none, part in zip((0, -1), best))


class Span(NamedTuple):
  """Parts [B, K, P] along an axis: cells start to stop - 1, and the longest window that fits in."""

  start: jax.Array
  stop: jax.Array
  level: jax.Array  # of the window in the table
  reach: jax.Array  # the window's length in cells, 2 ** level


def _depth(length: int, parts: int) -> int:
  """Returns how many window lengths, 1, 2, 4 ..., fit into a part of a box inside the map."""
  return min(-(-(length + 1) // parts) + 1, length).bit_length()


def _span(low: jax.Array, high: jax.Array, parts: int, length: int, depth: int) -> Span:
  """Divides cells low..high [B, K] into parts: floor(i n / parts) to ceil((i + 1) n / parts)."""
  count, i = jnp.maximum(high - low + 1, 1)[..., None], jnp.arange(parts)
  start = jnp.clip(low[..., None] + i * count // parts, 0, length)
  stop = jnp.clip(low[..., None] - (-(i + 1) * count // parts), 0, length)
  level = jnp.minimum(31 - lax.clz(jnp.maximum(stop - start, 1)), depth - 1)
  return Span(start, stop, level, 1 << level)


def _table(features, depth, winners):
  """Returns the maxima [depth0 depth1 B H W, C] of windows, with `winners` also their indices."""
  batch, height, width, channels = features.shape
  index = jnp.arange(batch * height * width, dtype=jnp.int32).reshape(batch, height, width, 1)
  levels = [(features, jnp.broadcast_to(index, features.shape)) if winners else (features,)]
  for axis, count in ((1, depth[0]), (2, depth[1])):
    longer = [levels]
    for n in range(count - 1):
      longer.append([_better(part, _shifted(part, 2**n, axis)) for part in longer[-1]])
    levels = [part for group in zip(*longer) for part in group]
  return tuple(jnp.concatenate(part).reshape(-1, channels) for part in zip(*levels))


def _shifted(part, cells, axis):
  return tuple(jnp.roll(value, -cells, axis) for value in part)  # what wraps around is never read


def _better(a, b):
  """Returns the larger of (values, indices), the lower index if equal; or of (values,) alone."""
  value = jnp.maximum(a[0], b[0])
  if len(a) == 1:
    return (value,)
  wins = (b[0] > a[0]) | ((b[0] == a[0]) & (b[1] < a[1]))
  return value, jnp.where(wins, b[1], a[1])


def _whole(cells):
  return jnp.clip(cells, -FAR, FAR).astype(jnp.int32)

"""RoI align: means of bilinear samples in the parts of boxes, on one map or a pyramid of maps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Size = tuple[int, int]


def pyramid_levels(
  boxes: jax.Array, first: int, last: int, side: float = 224.0, level: int = 4
) -> jax.Array:
  """Returns the index, from level `first`, of the map that each of boxes [..., 4] is read from.

  A box of `side` x `side` pixels belongs on `level`, one twice as long on the next
  (arXiv:1612.03144, equation 1; the 1e-6 is torchvision's). Strides 4 to 32 are levels 2 to 5.
  """
  wide, high = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
  found = jnp.floor(level + jnp.log2(jnp.sqrt(jnp.maximum(wide * high, 0)) / side) + 1e-6)
  return jnp.clip(found, first, last).astype(jnp.int32) - first


def roi_align(
  maps: Sequence[jax.Array],
  boxes: jax.Array,
  size: Size,
  scales: Sequence[float],
  *,
  levels: jax.Array | None = None,
  samples: int = 2,
  aligned: bool = False,
) -> jax.Array:
  """Returns features [B, K, *size, C] of boxes [B, K, 4], each read from one of maps [B, H, W, C].

  Args:
    maps: all with the same number of channels.
    boxes: in pixels of the image; a sample more than a cell outside the map is 0.
    size: (rows, columns) of parts.
    scales: cells a pixel of each map, such as 1 / 16.
    levels: [B, K], the index of the map; the first by default.
    samples: number along each side of a part (arXiv:1703.06870, section 3: 2, so 4 in all).
    aligned: whether cell i has its centre at i + 1/2; False is what torchvision's detectors were
      trained with, where a box is also at least one cell long.

  The gradient reaches the maps, not the boxes.
  """
  levels = jnp.zeros(boxes.shape[:2], jnp.int32) if levels is None else levels
  shapes = jnp.asarray([m.shape[1:3] for m in maps])[levels]  # [B, K, 2]
  scale = jnp.asarray(scales, boxes.dtype)[levels][..., None]
  starts = jnp.cumsum(jnp.asarray([0, *(m[..., 0].size for m in maps)]))[levels]
  image = jnp.arange(len(boxes))[:, None]
  first = starts + image * shapes[..., 0] * shapes[..., 1]
  low, high = (boxes[..., i : i + 2] * scale - 0.5 * aligned for i in (0, 2))
  length = high - low if aligned else jnp.maximum(high - low, 1)
  y = _taps(low[..., 1], length[..., 1], shapes[..., 0], size[0], samples)
  x = _taps(low[..., 0], length[..., 0], shapes[..., 1], size[1], samples)
  table = jnp.concatenate([m.reshape(-1, m.shape[-1]) for m in maps])
  rows, weights = [], []
  for row, tall in y:
    for column, wide in x:
      cell = row[..., :, None] * shapes[..., 1, None, None] + column[..., None, :]
      rows.append(first[..., None, None] + cell)
      weights.append(tall[..., :, None] * wide[..., None, :] / samples**2)
  return _weighted(table, tuple(rows), tuple(weights))


def _taps(low, length, cells, parts, samples):
  """Returns pairs of cells [B, K, parts] along one axis and their weights, whose sum is a part."""
  found, part = [], length[..., None] / parts
  for n in range(samples):
    position = low[..., None] + jnp.arange(parts) * part + (n + 0.5) * part / samples
    last = cells[..., None] - 1
    inside = (position >= -1) & (position <= cells[..., None])
    position = jnp.clip(position, 0, last.astype(position.dtype))
    left = position.astype(jnp.int32)
    rest = position - left
    found.append((left, jnp.where(inside, 1 - rest, 0)))
    found.append((jnp.minimum(left + 1, last), jnp.where(inside, rest, 0)))
  return found


@jax.custom_vjp
def _weighted(table, rows, weights):
  """Returns the sum over pairs of rows [...] of table [R, C], each times its weights [...]."""
  parts = (weight[..., None] * _read(table, row) for row, weight in zip(rows, weights))
  return sum(parts).astype(table.dtype)


def _read(table, row):
  return table.at[row].get(mode="promise_in_bounds")


def _forward(table, rows, weights):
  return _weighted(table, rows, weights), (table, rows, weights)


def _backward(kept, gradient):
  """Adds sample by sample to the table's gradient: all at once would hold every sample's."""
  table, rows, weights = kept
  found = jnp.zeros(table.shape, jnp.promote_types(gradient.dtype, jnp.float32))
  for row, weight in zip(rows, weights):
    found = found.at[row].add(gradient * weight[..., None], mode="promise_in_bounds")
  return found.astype(table.dtype), None, None


_weighted.defvjp(_forward, _backward)

"""Random geometry: one affine map for each image moves its pixels, masks and boxes together."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from cnnjax.ops.segmentation import VOID

Batch = dict[str, Any]
MASKS = ("segments", "ids", "instances")  # columns of pixels' labels, [..., H, W]
OUTSIDE = {"segments": VOID}  # label of what comes from outside of the image; of others 0
EXACT = jax.lax.Precision.HIGHEST  # of places in pixels: a TPU would round them to eight bits
BOXES = {"boxes": "valid", "proposals": "proposed"}  # column: the column that says which are real


def random_maps(
  key: jax.Array,
  count: int,
  size: tuple[int, int],
  *,
  rotate: float = 0.0,
  scale: tuple[float, float] = (1.0, 1.0),
  shear: float = 0.0,
  translate: float = 0.0,
  crop: tuple[float, float] | None = None,
  ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
  """Returns maps [count, 2, 3] from an output's (row, column, 1) to a position in the input.

  Args:
    key: of the random draws.
    count: number of images.
    size: (height, width) of the images.
    rotate: largest angle in degrees, in either direction, about the centre.
    scale: least and largest factor by which the content grows.
    shear: largest angle in degrees by which columns lean.
    translate: largest part of the height and of the width to move by.
    crop: least and largest part of the area that is cut out, at a random position, and resized to
      the whole image; its ratio of width to height is drawn from `ratio` (Szegedy et al.,
      arXiv:1409.4842, section 6).
    ratio: least and largest ratio of width to height of a crop.
  """
  keys = jax.random.split(key, 8)
  height, width = size
  draw = lambda k, low, high: jax.random.uniform(keys[k], (count,), minval=low, maxval=high)  # noqa: E731
  angle = draw(0, -1, 1) * math.radians(rotate)
  lean = jnp.tan(draw(1, -1, 1) * math.radians(shear))
  zoom = 1 / jnp.exp(draw(2, math.log(scale[0]), math.log(scale[1])))
  down, right = draw(3, -1, 1) * translate * height, draw(4, -1, 1) * translate * width
  rows = columns = jnp.ones(count)  # part of the height and of the width that is visible
  if crop:
    area = draw(5, *crop)
    aspect = jnp.exp(draw(6, math.log(ratio[0]), math.log(ratio[1]))) * height / width
    rows, columns = jnp.sqrt(area / aspect), jnp.sqrt(area * aspect)
    rows, columns = jnp.minimum(rows, 1), jnp.minimum(columns, 1)
    place = jax.random.uniform(keys[7], (2, count), minval=-1)
    down = down + place[0] * (1 - rows) / 2 * height
    right = right + place[1] * (1 - columns) / 2 * width
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  turn = jnp.stack([cos, -sin, sin, cos], -1).reshape(count, 2, 2)
  slant = jnp.stack([jnp.ones(count), jnp.zeros(count), lean, jnp.ones(count)], -1)
  stretch = jnp.stack([zoom * rows, zoom * columns], -1)[:, None, :]
  linear = jnp.matmul(turn, slant.reshape(count, 2, 2), precision=EXACT) * stretch
  centre = jnp.asarray([(height - 1) / 2, (width - 1) / 2])
  moved = jnp.matmul(linear, centre, precision=EXACT)
  offset = centre - moved + jnp.stack([down, right], -1)
  return jnp.concatenate([linear, offset[..., None]], -1)


def compose(first: jax.Array, then: jax.Array) -> jax.Array:
  """Returns maps [B, 2, 3] equal to a warp by `first`, and of its result by `then`."""
  linear, offset = first[:, :, :2], first[:, :, 2:]
  both = jnp.matmul(linear, then, precision=EXACT)
  return both.at[:, :, 2:].add(offset)


def warp(images: jax.Array, maps: jax.Array, *, order: int = 1) -> jax.Array:
  """Returns images [B, H, W, C] transformed by maps [B, 2, 3], with zeros from outside.

  `order` 1 is bilinear interpolation; 0 takes the nearest pixel, for labels.
  """
  height, width = images.shape[1:3]
  grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"))

  def one(image, by):
    places = jnp.tensordot(by[:, :2], grid.astype(by.dtype), 1, precision=EXACT)
    places += by[:, 2, None, None]
    sample = lambda channel: map_coordinates(channel, places, order, cval=0)  # noqa: E731
    return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)

  return jax.vmap(one)(images, maps)


def move_boxes(boxes: jax.Array, maps: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns the boxes [B, N, 4] (x0, y0, x1, y1) that enclose the given ones after `warp`.

  They are clipped to the image. Pixel i spans i to i + 1, so that its centre is at i + 1/2 in a
  box's coordinates.
  """
  x0, y0, x1, y1 = jnp.moveaxis(boxes, -1, 0)
  corners = jnp.stack([jnp.stack([y, x]) for x in (x0, x1) for y in (y0, y1)], -1) - 0.5
  corners = jnp.moveaxis(corners, 0, -1)  # [B, N, 4, 2]
  back = jnp.linalg.inv(maps[:, :, :2])
  away = corners - maps[:, None, None, :, 2]
  places = jnp.einsum("bij,bnkj->bnki", back, away, precision=EXACT) + 0.5
  limit = jnp.asarray(size, places.dtype)
  low = jnp.clip(places.min(2), 0, limit)
  high = jnp.clip(places.max(2), 0, limit)
  return jnp.concatenate([low[..., ::-1], high[..., ::-1]], -1)


def warp_batch(batch: Batch, maps: jax.Array) -> Batch:
  """Returns the batch with image, masks and boxes transformed by maps [B, 2, 3].

  All slices of a volume [B, D, H, W, C] are transformed by the same map. Where the image's pixels
  come from outside, class maps are void. A box of which nothing is left is no longer valid.
  """
  image = batch["image"]
  size, found = image.shape[-3:-1], dict(batch)
  flat = jnp.moveaxis(image, 1, -2).reshape(len(image), *size, -1) if image.ndim == 5 else image
  moved = warp(flat, maps)
  if image.ndim == 5:
    moved = jnp.moveaxis(moved.reshape(len(image), *size, *image.shape[1::3]), -2, 1)
  found["image"] = moved
  for name in MASKS:
    if name in batch:
      outside = OUTSIDE.get(name, 0)
      mask = batch[name].astype(jnp.float32) - outside
      flat = mask.ndim == 3
      mask = mask[..., None] if flat else jnp.moveaxis(mask, 1, -1)
      mask = warp(mask, maps, order=0)
      mask = mask[..., 0] if flat else jnp.moveaxis(mask, -1, 1)
      found[name] = (mask + outside).astype(batch[name].dtype)
  for name, there in BOXES.items():
    if name in batch:
      found[name] = boxes = move_boxes(batch[name], maps, size)
      left = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
      found[there] = batch[there] * left.astype(batch[there].dtype)
  return found

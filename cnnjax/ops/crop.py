"""Boxes cut out of images and warped to one size."""

import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.ops.roi_align import roi_align


def crop(images: jax.Array, boxes: jax.Array, side: int, context: int = 0) -> jax.Array:
  """Returns images [B, H, W, C] inside boxes [B, K, 4], each warped to [B, K, side, side, C].

  Each result shows `context` pixels around the warped box on every side. Outside the image it is 0,
  the mean of a normalised image (arXiv:1311.2524, appendix A). Bilinear, without antialiasing.

  Raises: UserError for a context that leaves no room for the box.
  """
  if not 0 <= 2 * context < side:
    raise UserError(f"a context of {context} pixels leaves no window in {side}")
  low, high = boxes[..., :2], boxes[..., 2:]
  margin = (high - low) * (context / (side - 2 * context))
  wider = jnp.concatenate([low - margin, high + margin], -1)
  return roi_align((images,), wider, (side, side), (1.0,), samples=1, aligned=True)

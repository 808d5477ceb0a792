"""Parts of images warped to one size."""

import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.ops.roi_align import roi_align


def crop(images: jax.Array, boxes: jax.Array, side: int, context: int = 0) -> jax.Array:
  """Returns images [B, H, W, C] inside boxes [B, K, 4], each warped to [B, K, side, side, C].

  So many pixels of context are seen on every side of the warped box; what lies outside the image is
  0, its mean once it is normalised (arXiv:1311.2524, appendix A). Bilinear, without smoothing.

  Raises: UserError for a context that leaves nothing of the window.
  """
  if not 0 <= 2 * context < side:
    raise UserError(f"a context of {context} pixels leaves no window in {side}")
  low, high = boxes[..., :2], boxes[..., 2:]
  margin = (high - low) * (context / (side - 2 * context))
  seen = jnp.concatenate([low - margin, high + margin], -1)
  return roi_align((images,), seen, (side, side), (1.0,), samples=1, aligned=True)

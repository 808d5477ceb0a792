"""Losses of class maps: by pixel, or by how far two regions overlap. Void pixels never count."""

import jax
import jax.numpy as jnp

VOID = 255  # in a class map: the pixel has no class


def cross_entropy(logits: jax.Array, segments: jax.Array, gamma: float = 0.0) -> jax.Array:
  """Returns -(1 - p)^gamma log p of each pixel, where p is its class's probability; 0 for void.

  With gamma 0 it is the cross-entropy, else the focal loss (arXiv:1708.02002, equation 4).

  Args:
    logits: [B, *S, C].
    segments: the classes [B, *S], or `VOID`.
    gamma: how much less a pixel counts that is answered well.
  """
  scores, known = jax.nn.log_softmax(logits.astype(jnp.float32)), segments != VOID
  own = jnp.where(known, segments, 0).astype(jnp.int32)[..., None]
  own = jnp.take_along_axis(scores, own, -1)[..., 0]
  each = -own * (1 - jnp.exp(own)) ** gamma if gamma else -own
  return jnp.where(known, each, 0)


def dice(logits: jax.Array, segments: jax.Array, smooth: float = 1.0) -> jax.Array:
  """Returns one minus the soft Dice coefficient of each class in each example, [B, C].

  The coefficient is (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth) over the pixels that are not
  void, for probabilities p and the truth t (Milletari et al., arXiv:1606.04797, section 3, without
  its squares). So a class that is nowhere, in truth and answer, costs nothing.

  Args:
    logits: [B, *S, C].
    segments: the classes [B, *S], or `VOID`.
    smooth: pixels that are added to both sides.
  """
  count = logits.shape[-1]
  known = (segments != VOID)[..., None]
  share = jnp.where(known, jax.nn.softmax(logits.astype(jnp.float32)), 0)
  truth = segments[..., None] == jnp.arange(count)
  space = tuple(range(1, segments.ndim))
  both = jnp.sum(share * truth, space)
  return 1 - (2 * both + smooth) / (share.sum(space) + truth.sum(space) + smooth)

"""Stochastic depth: training leaves blocks out at random (Huang et al., arXiv:1603.09382)."""

import flax.linen as nn
import jax


class StochasticDepth(nn.Module):
  """Sets a block's branch x [B, ...] to 0 for each image with probability `rate` in training.

  The others are divided by 1 - rate, as in torchvision, so that evaluation changes nothing; the
  paper draws once for a whole batch, and multiplies by 1 - rate in evaluation instead.
  """

  rate: float

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    if not train or not self.rate:
      return x
    keep = 1 - self.rate
    kept = jax.random.bernoulli(self.make_rng("dropout"), keep, (len(x),) + (1,) * (x.ndim - 1))
    return x * (kept / keep).astype(x.dtype)


def death_rates(blocks: int, last: float) -> list[float]:
  """Returns the rate of each block, which grows in equal steps up to `last` (equation 4)."""
  return [last * (block + 1) / blocks for block in range(blocks)]

"""Blocks left out at random while training: Huang et al., arXiv:1603.09382."""

import flax.linen as nn
import jax


class StochasticDepth(nn.Module):
  """Leaves out a block's branch, x [B, ...], of each image with probability `rate` in training.

  The kept ones are divided by the probability of being kept, as torchvision does, so that nothing
  changes in evaluation; the paper draws once for a batch, and multiplies in evaluation instead.
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
  """Returns each block's rate, which grows in equal steps up to `last` (equation 4)."""
  return [last * (block + 1) / blocks for block in range(blocks)]

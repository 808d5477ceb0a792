"""The input gradient of a product with a large matrix, without the transpose that XLA makes."""

import jax

from cnnjax.ops.geometry import ONE_BY_ONE, plain


def input_gradient(gradient: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns gradient [N, D] times the transpose of kernel [C, D], [N, C].

  It is a 1x1 convolution of the kernel, as C images of one pixel with D channels, with the N
  gradients as its features: so the kernel is read in the order in which it is stored.
  """
  found = plain(kernel[:, None, None], gradient.T[None, None], ONE_BY_ONE)
  return found.reshape(kernel.shape[0], gradient.shape[0]).T

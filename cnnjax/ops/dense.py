"""A fully connected layer's product; on the CPU its gradient does not transpose the kernel."""

import jax
from jax import lax

from cnnjax.ops.cpu import dense as cpu


@jax.custom_vjp
def dense(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns x [..., C] times kernel [C, D], [..., D]; it has no forward-mode derivatives."""
  return x @ kernel


def _forward(x, kernel):
  return x @ kernel, (x, kernel)


def _backward(kept, gradient):
  x, kernel = kept
  x, flat = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
  x_gradient = lax.platform_dependent(
    flat, kernel, cpu=cpu.input_gradient, default=lambda flat, kernel: flat @ kernel.T
  )
  return x_gradient.reshape(*gradient.shape[:-1], -1), x.T @ flat


dense.defvjp(_forward, _backward)

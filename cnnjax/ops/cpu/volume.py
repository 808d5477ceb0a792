"""Convolutions of volumes as those of images whose channels are the slices that a window reads.

XLA's own convolution of three dimensions is a plain loop. The price is a copy of the input for each
slice of the window.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import direct, pointwise
from cnnjax.ops.geometry import Geometry


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  return len(x_shape) == 5 and geometry.groups == 1


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, Z, H, W, C] with kernel [d, h, w, C, D]."""
  images = _images(x, kernel.shape[0], geometry)
  form, flat = _image_form(images.shape, kernel, geometry)
  y = form.forward(images, _image_kernel(kernel), flat)
  return y.reshape(x.shape[0], -1, *y.shape[1:])


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to x from that of the result [B, Z', H', W', D]."""
  x = jax.ShapeDtypeStruct(x_shape, gradient.dtype)
  to_images = partial(_images, depth=kernel.shape[0], geometry=geometry)
  images = jax.eval_shape(to_images, x)
  form, flat = _image_form(images.shape, kernel, geometry)
  gradient = gradient.reshape(-1, *gradient.shape[2:])
  found = form.input_gradient(gradient, _image_kernel(kernel), images.shape, flat)
  return jax.linear_transpose(to_images, x)(found)[0]


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to the kernel."""
  kernel = jax.ShapeDtypeStruct(kernel_shape, x.dtype)
  images = _images(x, kernel_shape[0], geometry)
  form, flat = _image_form(images.shape, kernel, geometry)
  gradient = gradient.reshape(-1, *gradient.shape[2:])
  shape = jax.eval_shape(_image_kernel, kernel).shape
  found = form.kernel_gradient(images, gradient, shape, flat)
  return jax.linear_transpose(_image_kernel, kernel)(found)[0]


def _images(x: jax.Array, depth: int, geometry: Geometry) -> jax.Array:
  """Returns the `depth` slices that a window reads for each output slice, [B x Z', H, W, d x C]."""
  (stride, *_), (around, *_), (step, *_), _ = geometry
  x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (*around, 0), *[(0, 0, 0)] * 3])
  length = x.shape[1] - step * (depth - 1)
  slices = [x[:, n * step : n * step + length : stride] for n in range(depth)]
  x = jnp.concatenate(slices, -1)
  return x.reshape(-1, *x.shape[2:])


def _image_kernel(kernel: jax.Array) -> jax.Array:
  """Returns a kernel [d, h, w, C, D] as one of images, [h, w, d x C, D]."""
  kernel = kernel.transpose(1, 2, 0, 3, 4)
  return kernel.reshape(*kernel.shape[:2], -1, kernel.shape[-1])


def _image_form(shape, kernel, geometry):
  """Returns the form that convolves the images, and its geometry."""
  flat = Geometry(*(sizes[1:] for sizes in geometry[:3]), 1)
  window = kernel.shape[1], kernel.shape[2], shape[-1], kernel.shape[-1]
  return pointwise if pointwise.fits(shape, window, flat) else direct, flat

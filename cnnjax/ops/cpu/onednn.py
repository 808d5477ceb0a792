"""oneDNN's convolution and matrix product, by custom calls that XLA's own compiler never makes.

They compute float32 convolutions of images, in one group or depthwise: forward; the input gradient,
of a strided convolution by `strided_gradient`; and 1x1 convolutions with both gradients, as matrix
products. There is no such call for the kernel gradient of a larger window, which other forms
compute. Of volumes they compute the forward convolution, and the input gradient where there are no
strides.

Only jaxlib's wheels for x86 hold oneDNN, and it is off until `use_onednn`: XLA cannot save a
program with such a call in its compilation cache, so that each start compiles anew. The settings of
a call are no stable interface: they depend on jaxlib's version (openxla/xla,
`xla/service/cpu/onednn_config.proto`), and settings that oneDNN cannot read end the process.
"""

import json
import math
import platform
from functools import partial
from importlib import metadata

import jax

from cnnjax.errors import UserError
from cnnjax.ops.cpu import (
  columns,
  depthwise,
  direct,
  narrow,
  pointwise,
  strided_gradient,
  volume,
  winograd,
)
from cnnjax.ops.cpu.windows import pad
from cnnjax.ops.geometry import Geometry, output_size, plain

VERSIONS = ("0.9.2", "0.10.0", "0.10.1", "0.10.2")  # of jaxlib, that read these settings
INSTALLED = metadata.version("jaxlib")

# Limits between which oneDNN is the faster (docs/lab-book.md, "oneDNN's convolutions").
MIN_PIXELS = 1000  # output pixels of a batch; below, oneDNN's copy of the kernel costs too much
MIN_ROWS = 500  # output pixels of a 1x1 convolution, for which the kernel is not copied
SMALL_KERNEL = 2**16  # numbers of a 1x1 kernel; below, its gradient is faster (29.5 -> 19.0 ms)
LARGE_KERNEL = 2**20  # from here on, the other two products are too (forward 18.1 -> 12.8 ms)

_enabled = False


def use_onednn(enable: bool = True) -> None:
  """Lets convolutions traced from now on use oneDNN where it is faster: float32, one CPU device.

  Training steps of networks with few channels gain most; each start compiles its programs anew.
  Nothing changes on other devices or in other types.

  Raises: UserError where the installed jaxlib has no oneDNN that can be called.
  """
  global _enabled
  if enable and lacking():
    raise UserError(f"oneDNN's convolutions cannot be called here: {lacking()}")
  _enabled = enable


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  convolution = x_shape, kernel_shape, geometry
  spatial, apart = len(x_shape) - 2, geometry.groups > 1
  if spatial not in (2, 3) or apart and not depthwise.fits(*convolution) or lacking():
    return False
  return min(*x_shape, *kernel_shape, *output_size(*convolution)) > 0


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether oneDNN is enabled and faster than the other forms."""
  one = jax.default_backend() == "cpu" and jax.device_count() == 1
  if not (_enabled and one):
    return False
  convolution = x_shape, kernel_shape, geometry
  pixels = x_shape[0] * math.prod(output_size(*convolution))
  if pointwise.fits(*convolution):
    return pixels >= MIN_ROWS and not SMALL_KERNEL <= math.prod(kernel_shape) < LARGE_KERNEL
  if len(x_shape) == 5 and max(kernel_shape[:-2]) == 1:  # a product, which `volume` finds
    return False
  return pixels >= MIN_PIXELS and not (winograd.fits(*convolution) and winograd.pays(*convolution))


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, *space, C] with kernel [*window, C/groups, D]."""
  if pointwise.fits(x.shape, kernel.shape, geometry):
    return pointwise.forward(x, kernel, geometry, _faster_product(kernel))
  window = [d * (k - 1) + 1 for k, d in zip(kernel.shape, geometry.dilation)]
  if any(not 0 <= n < k for k, pair in zip(window, geometry.padding) for n in pair):
    x = pad(x, geometry.padding)
    geometry = geometry._replace(padding=((0, 0),) * len(geometry.padding))
  return _convolution(geometry)(x, kernel)


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to x from that with respect to the result [B, *space', D]."""
  convolution = x_shape, kernel.shape, geometry
  if pointwise.fits(*convolution):
    product = _faster_product(kernel)
    return pointwise.input_gradient(gradient, kernel, x_shape, geometry, product)
  for form in (depthwise, columns):  # as fast, or faster where the input has few channels
    if form.fits(*convolution) and form.pays(*convolution):
      return form.input_gradient(gradient, kernel, x_shape, geometry)
  if len(x_shape) == 5:
    return _volume_gradient(gradient, kernel, x_shape, geometry)
  if geometry.dilation != (1, 1):
    return direct.input_gradient(gradient, kernel, x_shape, geometry)
  return strided_gradient.input_gradient(gradient, kernel, x_shape, geometry, forward)


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to the kernel: by oneDNN's product if 1x1, else by XLA."""
  if pointwise.fits(x.shape, kernel_shape, geometry):
    return pointwise.kernel_gradient(x, gradient, kernel_shape, geometry, _product)
  convolution = x.shape, kernel_shape, geometry
  form = volume if x.ndim == 5 else depthwise if geometry.groups > 1 else direct
  form = narrow if narrow.fits(*convolution) and narrow.pays(*convolution) else form
  return form.kernel_gradient(x, gradient, kernel_shape, geometry)


def _volume_gradient(gradient, kernel, x_shape, geometry):
  """Returns the gradient of a volume: without strides a convolution of that of the result."""
  if {*geometry.strides, *geometry.dilation} != {1}:
    return volume.input_gradient(gradient, kernel, x_shape, geometry)
  around = tuple((k - 1 - a, k - 1 - b) for k, (a, b) in zip(kernel.shape, geometry.padding))
  turned = kernel[::-1, ::-1, ::-1].swapaxes(-1, -2)
  return forward(gradient, turned, geometry._replace(padding=around))


def lacking() -> str:
  """Returns why oneDNN cannot be called here, "" where it can."""
  if INSTALLED not in VERSIONS:
    return f"jaxlib must be {' or '.join(VERSIONS)}, found {INSTALLED}"
  if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
    return f"it is in jaxlib's wheels for Linux on x86_64, found {platform.platform()}"
  return ""


def _convolution(geometry):
  """Returns oneDNN's convolution as a function of x and kernel, which `jax.vmap` can map."""

  @jax.custom_batching.custom_vmap
  def call(x, kernel):
    sizes = output_size(x.shape, kernel.shape, geometry)
    result = jax.ShapeDtypeStruct((x.shape[0], *sizes, kernel.shape[-1]), x.dtype)
    return _custom_call("convolution", result, _convolution_settings(geometry))(x, kernel)

  @call.def_vmap
  def mapped(size, batched, x, kernel):
    if batched[1]:  # several kernels: XLA's own convolution
      axes = [0 if one else None for one in batched]
      return jax.vmap(lambda x, kernel: plain(x, kernel, geometry), axes)(x, kernel), True
    found = call(x.reshape(-1, *x.shape[2:]), kernel)
    return found.reshape(size, -1, *found.shape[1:]), True

  return call


def _faster_product(kernel):
  """Returns the faster product, oneDNN's or XLA's, of x or a gradient with a 1x1 kernel."""
  return _product if math.prod(kernel.shape) >= LARGE_KERNEL else pointwise.product


def _product(a, b, over=(1, 0)):
  """Returns oneDNN's product of two matrices; arguments as in `pointwise.product`."""
  result = jax.ShapeDtypeStruct((a.shape[1 - over[0]], b.shape[1 - over[1]]), a.dtype)
  settings = {"transpose_a": over[0] == 0, "transpose_b": over[1] == 1}

  @jax.custom_batching.custom_vmap
  def call(a, b):
    return _custom_call("matmul", result, {"onednn_matmul_config": settings})(a, b)

  @call.def_vmap
  def mapped(size, batched, a, b):  # XLA's own product
    axes = [0 if one else None for one in batched]
    return jax.vmap(partial(pointwise.product, over=over), axes)(a, b), True

  return call(a, b)


def _custom_call(operation, result, settings):
  """Returns a call of oneDNN whose settings XLA's CPU compiler reads as JSON."""
  options = dict(custom_call_api_version=1, legacy_backend_config=json.dumps(settings))
  return jax.ffi.ffi_call(f"__onednn${operation}", result, **options)


def _convolution_settings(geometry):
  """Returns the settings of a convolution call, as `onednn_config.proto` names them."""
  n = len(geometry.strides)
  space = {"batch_dim": 0, "feature_dim": n + 1, "spatial_dims": list(range(1, n + 1))}
  image = {"dims": n + 2, "data": space}
  kernel = {"input_feature_dim": n, "output_feature_dim": n + 1, "spatial_dims": list(range(n))}
  before, after = zip(*geometry.padding)
  return {
    "onednn_conv_config": {
      "dims": n + 2,
      "input": image,
      "kernel": {"dims": n + 2, "filter": kernel},
      "output": image,
      "window": {
        "strides": geometry.strides,
        "pad_left": before,
        "pad_right": after,
        "window_dilations": geometry.dilation,
      },
      "feature_groups": geometry.groups,
    }
  }

"""oneDNN's convolution and product, which jaxlib's wheels for x86 hold and XLA itself never calls.

They are not taken unasked (`use_onednn`): XLA can keep no program with such a call on disk, so that
each start compiles anew, and how a call is put down is no interface, but a matter of jaxlib's
version (openxla/xla, `xla/service/cpu/onednn_config.proto`); what it cannot read ends the process.
"""

import json
import math
import platform
from functools import partial
from importlib import metadata
from itertools import product

import jax
from jax import lax

from cnnjax.errors import UserError
from cnnjax.ops.cpu import columns, depthwise, direct, pointwise, winograd
from cnnjax.ops.cpu.windows import interleave, pad
from cnnjax.ops.geometry import Geometry, places, plain

VERSIONS = ("0.9.2", "0.10.0", "0.10.1", "0.10.2")  # of jaxlib, whose calls are put down as here
INSTALLED = metadata.version("jaxlib")
LEAST = 1000  # places of the result over the batch, from which it pays to lay the kernel out anew
ROWS = 500  # likewise of a product, which reads the kernel as it lies
SMALL = 2**16  # numbers of a 1x1 kernel, below which its gradient is faster as oneDNN's product
LARGE = 2**20  # and from which all its products are

_asked = False


def use_onednn(asked: bool = True) -> None:
  """Lets convolutions that are traced from now on be oneDNN's where that is faster, on a CPU.

  Training steps of networks with few channels gain most; each start compiles its programs anew. It
  is for float32 and a CPU that is one device, and changes nothing elsewhere.

  Raises: UserError where the installed jaxlib has none that can be called.
  """
  global _asked
  if asked and lacking():
    raise UserError(f"oneDNN's convolutions cannot be called here: {lacking()}")
  _asked = asked


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  asked = x_shape, kernel_shape, geometry
  if len(x_shape) != 4 or geometry.groups > 1 and not depthwise.fits(*asked) or lacking():
    return False
  return min(*x_shape, *kernel_shape, *places(*asked)) > 0


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than the other forms, and asked for."""
  one = jax.default_backend() == "cpu" and jax.device_count() == 1
  if not (_asked and one):
    return False
  asked = x_shape, kernel_shape, geometry
  rows = x_shape[0] * math.prod(places(*asked))
  if pointwise.fits(*asked):
    return rows >= ROWS and not SMALL <= math.prod(kernel_shape) < LARGE
  return rows >= LEAST and not (winograd.fits(*asked) and winograd.pays(*asked))


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [h, w, C/groups, D]."""
  if pointwise.fits(x.shape, kernel.shape, geometry):
    return pointwise.forward(x, kernel, geometry, _faster(kernel))
  window = [d * (k - 1) + 1 for k, d in zip(kernel.shape, geometry.dilation)]
  if any(not 0 <= n < k for k, pair in zip(window, geometry.padding) for n in pair):
    x, geometry = pad(x, geometry.padding), geometry._replace(padding=((0, 0), (0, 0)))
  return _call(geometry)(x, kernel)


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x from that of the result, [B, H', W', D].

  Pixels of one phase (row and column modulo the strides) are seen by the same taps, so that each
  phase is a convolution of the slope with those taps, turned round.
  """
  asked = x_shape, kernel.shape, geometry
  if pointwise.fits(*asked):
    return pointwise.input_gradient(slope, kernel, x_shape, geometry, _faster(kernel))
  for form in (depthwise, columns):  # as fast, or faster where few channels come out
    if form.fits(*asked) and form.pays(*asked):
      return form.input_gradient(slope, kernel, x_shape, geometry)
  if geometry.dilation != (1, 1):
    return direct.input_gradient(slope, kernel, x_shape, geometry)
  down, across = (_phases(axis, *asked, slope.shape) for axis in (0, 1))
  (s, t), turned, phases = geometry.strides, kernel.swapaxes(2, 3), {}
  for (p, (i, rows)), (q, (j, sides)) in product(enumerate(down), enumerate(across)):
    part = lax.optimization_barrier(turned[i::s, j::t][::-1, ::-1])
    if 0 not in part.shape:
      phases[p, q] = forward(slope, part, Geometry((1, 1), (rows, sides), (1, 1), 1))
  return interleave(phases, x_shape, geometry.strides)


def kernel_gradient(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to the kernel: oneDNN has no call for it but of 1x1 ones."""
  if pointwise.fits(x.shape, kernel_shape, geometry):
    return pointwise.kernel_gradient(x, slope, kernel_shape, geometry, _product)
  form = depthwise if geometry.groups > 1 else direct
  return form.kernel_gradient(x, slope, kernel_shape, geometry)


def lacking() -> str:
  """Returns why oneDNN cannot be called, "" where it can."""
  if INSTALLED not in VERSIONS:
    return f"jaxlib must be {' or '.join(VERSIONS)}, found {INSTALLED}"
  if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
    return f"it is in jaxlib's wheels for Linux on x86_64, found {platform.platform()}"
  return ""


def _phases(axis, x_shape, kernel_shape, geometry, slope_shape):
  """Returns (first tap, padding) of each phase of the input along an axis."""
  length, window, seen_at = x_shape[1 + axis], kernel_shape[axis], slope_shape[1 + axis]
  stride, before = geometry.strides[axis], geometry.padding[axis][0]
  size, found = -(-length // stride), []
  for phase in range(stride):
    first = (phase + before) % stride
    taps = len(range(first, window, stride))
    low = taps - 1 - (phase + before - first) // stride
    found.append((first, (low, size - seen_at - low + taps - 1)))
  return found


def _call(geometry):
  """Returns oneDNN's convolution as a function of x and kernel, which `jax.vmap` can map."""

  @jax.custom_batching.custom_vmap
  def call(x, kernel):
    sizes = places(x.shape, kernel.shape, geometry)
    result = jax.ShapeDtypeStruct((x.shape[0], *sizes, kernel.shape[3]), x.dtype)
    return _onednn("convolution", result, _config(geometry))(x, kernel)

  @call.def_vmap
  def mapped(size, batched, x, kernel):
    if batched[1]:  # a kernel for each: XLA's own
      axes = [0 if one else None for one in batched]
      return jax.vmap(lambda x, kernel: plain(x, kernel, geometry), axes)(x, kernel), True
    found = call(x.reshape(-1, *x.shape[2:]), kernel)
    return found.reshape(size, -1, *found.shape[1:]), True

  return call


def _faster(kernel):
  """Returns the faster of oneDNN's product and XLA's, by which x or a slope is multiplied."""
  return _product if math.prod(kernel.shape) >= LARGE else pointwise.product


def _product(a, b, over=(1, 0)):
  """Returns the product of two matrices, as `pointwise.product`."""
  result = jax.ShapeDtypeStruct((a.shape[1 - over[0]], b.shape[1 - over[1]]), a.dtype)
  turned = {"transpose_a": over[0] == 0, "transpose_b": over[1] == 1}

  @jax.custom_batching.custom_vmap
  def call(a, b):
    return _onednn("matmul", result, {"onednn_matmul_config": turned})(a, b)

  @call.def_vmap
  def mapped(size, batched, a, b):  # XLA's own
    axes = [0 if one else None for one in batched]
    return jax.vmap(partial(pointwise.product, over=over), axes)(a, b), True

  return call(a, b)


def _onednn(what, result, config):
  """Returns a call of oneDNN, with settings as XLA's CPU compiler reads them."""
  options = dict(custom_call_api_version=1, legacy_backend_config=json.dumps(config))
  return jax.ffi.ffi_call(f"__onednn${what}", result, **options)


def _config(geometry):
  """Returns a convolution's settings."""
  image = {"dims": 4, "data": {"batch_dim": 0, "feature_dim": 3, "spatial_dims": [1, 2]}}
  kernel = {"input_feature_dim": 2, "output_feature_dim": 3, "spatial_dims": [0, 1]}
  before, after = zip(*geometry.padding)
  return {
    "onednn_conv_config": {
      "dims": 4,
      "input": image,
      "kernel": {"dims": 4, "filter": kernel},
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

"""U-Net: down by pooling, up by transposed convolutions, with a skip at each size.

Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation",
arXiv:1505.04597, figure 1; Cicek et al., "3D U-Net: learning dense volumetric segmentation from
sparse annotation", arXiv:1606.06650, figure 2. Images or volumes: as many dimensions as the input.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError, unknown
from cnnjax.layers import BatchNorm, Conv, ConvTranspose, InstanceNorm, MaxPool, wide
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.ops.resize import centre, fit
from cnnjax.ops.volume import VolumePreprocessing

UNET = (64, 128, 256, 512, 1024)  # arXiv:1505.04597, figure 1: channels of each level
UNET3D = (64, 128, 256, 512)  # arXiv:1606.06650, figure 2: of the second convolution of each level
MULTIPLE = 32  # to which images are filled up for a classifier's trunk, so that its maps halve
NORMS = {"none": None, "batch": BatchNorm, "instance": InstanceNorm}
HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")  # arXiv:1505.04597, section 3

AT_256 = Preprocessing(resize=(256, 256))
AT_572 = Preprocessing(resize=(572, 572), channels=1)  # figure 1
AT_64 = VolumePreprocessing(tile=(64, 64, 64))


class Level(nn.Module):
  """x [B, *space, C] -> 3^n convolutions to each of `widths`, each with its norm and ReLU."""

  widths: Sequence[int]
  padding: str
  norm: str
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    norm = NORMS[self.norm]
    for n, width in enumerate(self.widths, 1):
      options = dict(padding=self.padding, use_bias=norm is None, kernel_init=HE)
      x = Conv(width, 3, dtype=self.dtype, name=f"conv{n}", **options)(x)
      if norm is None:
        x = nn.relu(x)
      else:
        x = norm(dtype=self.dtype, name=f"norm{n}")(x, train=train, activation=nn.relu)
    return x


class Trunk(nn.Module):
  """Images or volumes -> level1, level2 .. (strides 1, 2, 4 ..), each before its pooling.

  Attributes: as those of `UNet`.
  """

  widths: Sequence[int]
  halved: bool
  padding: str
  norm: str
  rematerialise: bool = False
  pools: Sequence[int | Sequence[int]] = ()
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    pools = pools_of(self.pools, len(self.widths), x.ndim - 2)
    check_sides(x.shape[1:-1], pools, self.padding)
    maps = {}
    for n, width in enumerate(self.widths, 1):
      x = MaxPool(pools[n - 2], name=f"pool{n - 1}")(x) if n > 1 else x
      widths = (width // 2 if self.halved else width, width)
      level = Level(widths, self.padding, self.norm, dtype=self.dtype, name=f"level{n}")
      x = maps[f"level{n}"] = _call(level, self.rematerialise, train)(x)
    return maps


class UNet(nn.Module):
  """[B, *space, C] -> {"logits": [B, *space, num_classes]}, of which class 0 is the background.

  Without padding the logits are of the middle of the input: 388x388 of 572x572 pixels, 44x44x28 of
  132x132x116.

  Attributes:
    widths: channels of the levels, from the largest map to the smallest: their number is the depth.
      On the way up a level has these channels, or its skip's where those are fewer.
    halved: whether a level's first convolution on the way down has half of its channels, and
      transposed convolutions keep theirs, as in the 3-D paper; else they have the next level's.
    padding: "same", or "valid" as in the papers.
    norm: "none", "batch" or "instance", before each ReLU.
    dropout: at the end of the way down.
    rematerialise: whether the backward pass recomputes a level's activations instead of keeping
      them.
    pools: window of each pooling on the way down, 2 by default; or one number an axis, such as
      (1, 2, 2), which leaves coarse slices of a volume alone (nnU-Net, arXiv:1809.10486).
    classifier: a network whose trunk takes the way down's place, images only.
  """

  task = "segmentation"
  widths: Sequence[int] = UNET
  halved: bool = False
  padding: str = "same"
  norm: str = "none"
  dropout: float = 0.0
  rematerialise: bool = False
  pools: Sequence[int | Sequence[int]] = ()
  classifier: nn.Module | None = None
  num_classes: int = 2
  dtype: Any = jnp.float32
  preprocessing: Any = AT_256

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the way down, for this network or another's."""
    if self.norm not in NORMS:
      raise unknown("norm of a U-Net", self.norm, NORMS)
    if self.padding not in ("same", "valid"):
      raise unknown("padding of a U-Net", self.padding, ("same", "valid"))
    if self.classifier is None:
      options = dict(rematerialise=self.rematerialise, pools=self.pools, dtype=self.dtype)
      options["name"] = "trunk"
      return Trunk(self.widths, self.halved, self.padding, self.norm, **options)
    if self.padding == "valid":
      raise UserError("a U-Net without padding has its own trunk; give padding=same with a trunk")
    return self.classifier.make_trunk()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    own, size = self.classifier is None, x.shape[1:-1]
    x = image = x if own else fit(x, [-(-side // MULTIPLE) * MULTIPLE for side in size])
    maps = self.make_trunk()(x, train=train)
    sizes = {m.shape[1:-1]: m for m in maps.values() if m.ndim == x.ndim}  # the deepest of a size
    *skips, x = sizes.values()
    if not own and image.shape[1:-1] not in sizes:  # the trunk begins with strides
      skips = [None, *skips]
    pools = pools_of(self.pools, len(skips) + 1, x.ndim - 2) if own else ()
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    for n, skip in reversed(list(enumerate(skips, 1))):
      width = self.widths[min(n, len(self.widths)) - 1]
      width = width if skip is None else min(width, skip.shape[-1])
      target = (image if skip is None else skip).shape[1:-1]
      grow = pools[n - 1] if own else tuple(round(a / b) for a, b in zip(target, x.shape[1:-1]))
      features = x.shape[-1] if self.halved else width
      options = dict(use_bias=False, dtype=self.dtype, kernel_init=HE, name=f"up{n}")
      x = ConvTranspose(features, grow, grow, **options)(x)
      if self.padding == "valid":
        skip = centre(skip, x.shape[1:-1])
      else:
        x = fit(x, target)  # a side that was odd before it was pooled
      x = x if skip is None else jnp.concatenate([skip, x], -1)
      level = Level((width, width), self.padding, self.norm, dtype=self.dtype, name=f"back{n}")
      x = _call(level, self.rematerialise, train)(x)
    logits = wide(Conv(self.num_classes, 1, dtype=self.dtype, name="head")(x))
    return {"logits": logits if own else fit(logits, size)}


def pools_of(
  pools: Sequence[int | Sequence[int]], levels: int, axes: int
) -> tuple[tuple[int, ...], ...]:
  """Returns the window of each pooling along each axis. Raises: UserError for other than needed."""
  pools = tuple(pools) or (2,) * (levels - 1)
  each = tuple((pool,) * axes if isinstance(pool, int) else tuple(pool) for pool in pools)
  if len(each) != levels - 1 or any(len(pool) != axes for pool in each):
    raise UserError(
      f"a U-Net of {levels} levels has {levels - 1} poolings along {axes} axes; found the windows "
      f"{pools}"
    )
  return each


def check_sides(sides: Sequence[int], pools: Sequence[Sequence[int]], padding: str) -> None:
  """Raises: UserError for an input of these sides that levels with these poolings cannot take."""
  fits = _fits_valid if padding == "valid" else _fits_same
  for axis, side in enumerate(sides):
    along = [pool[axis] for pool in pools]
    if not fits(side, along):
      above = next(n for n in range(side, side + 2**20) if fits(n, along))
      below = next((f"{n} or " for n in range(side, 0, -1) if fits(n, along)), "")
      raise UserError(
        f"a U-Net of {len(pools) + 1} levels and padding {padding} takes sides such as "
        f"{below}{above}, found {'x'.join(map(str, sides))}"
      )


def _fits_same(side, pools):
  return side >= math.prod(pools)


def _fits_valid(side, pools):
  """Whether two convolutions a level leave an even side for each pooling, and a middle at last."""
  smallest = side
  for pool in pools:
    smallest -= 4
    if smallest <= 0 or smallest % pool:
      return False
    smallest //= pool
  side = smallest - 4
  for pool in reversed(pools):
    side = pool * side - 4
  return smallest > 4 and side > 0


def _call(level, rematerialise, train):
  """Returns a level as a function of its input, which is recomputed in the backward pass or not."""

  def apply(level, x):
    return level(x, train=train)

  apply = nn.remat(apply) if rematerialise else apply
  return lambda x: apply(level, x)

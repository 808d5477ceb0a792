"""LeNet-5 as in its paper: squashed tanh, trainable subsampling, a connection table, RBF outputs.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition",
Proc. IEEE 86(11), 1998, section II.B and appendix A. Trained here with softmax cross-entropy over
the negated distances, which is the paper's equation 9 without its constant rubbish class.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.errors import UserError
from cnnjax.layers import Conv, Dense, Flatten
from cnnjax.ops.conv import conv
from cnnjax.ops.pool import avg_pool
from cnnjax.ops.preprocess import Preprocessing

C3_TABLE = (  # table I: the maps of S2 that each of C3's sixteen maps reads
  (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
  (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
  (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
  (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The ten targets of F6: each digit drawn on 7x12 pixels, +1 ink and -1 paper, after figure 3.
DIGITS = """
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
..###.. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..##... ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .###... ##...## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...#... .....## .....## .##.##. ######. ##..... ....##. ##...## ##...##
##...## ...#... ....##. ..####. ##..##. .....## ######. ....##. .#####. .######
##...## ...#... ...##.. .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ...#... ..##... .....## ....##. .....## ##...## ...##.. ##...## .....##
##...## ...#... .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
.##.##. ...#... ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
..###.. .#####. ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def codes(num_classes: int) -> np.ndarray:
  """Returns targets [num_classes, 84] of +1 and -1: the drawn digits, or random codes for others.

  The paper names random codes as the alternative to its drawings (section II.B).
  """
  if num_classes == 10:
    rows = [line.split() for line in DIGITS.split("\n") if line]
    ink = np.array([[list(row[d]) for row in rows] for d in range(10)]) == "#"
    return np.where(ink, 1.0, -1.0).reshape(10, 84).astype(np.float32)
  return np.random.default_rng(1998).choice(np.float32([-1, 1]), (num_classes, 84))


def squash(x: jax.Array) -> jax.Array:
  """Returns 1.7159 tanh(2x/3), which is 1 at 1 and -1 at -1 (appendix A)."""
  return 1.7159 * jnp.tanh(2 / 3 * x)


def fan_in_uniform(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
  """Draws from -2.4/F to 2.4/F, F the number of inputs of a unit (appendix A)."""
  bound = 2.4 / int(np.prod(shape[:-1]))
  return jax.random.uniform(key, shape, dtype, -bound, bound)


class Subsample(nn.Module):
  """Trainable subsampling: the sum of each 2x2 window times a coefficient plus a bias, per map."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (x.shape[-1],)
    coefficient = self.param("coefficient", nn.initializers.constant(0.25), shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    return avg_pool(x, 2) * 4 * coefficient.astype(self.dtype) + bias.astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """One for each output, by the coefficient."""
    return int(np.prod(y))


class TableConv(nn.Module):
  """5x5 convolution in which each output map reads only the input maps that a table names."""

  table: tuple[tuple[int, ...], ...] = C3_TABLE
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    inputs = np.concatenate([np.array(row) for row in self.table])
    outputs = np.repeat(np.arange(len(self.table)), [len(row) for row in self.table])
    fan_in = jnp.asarray([25.0 * len(row) for row in self.table])[outputs]

    def initial(key, shape):
      return jax.random.uniform(key, shape, jnp.float32, -2.4, 2.4) / fan_in

    taps = self.param("kernel", initial, (5, 5, len(inputs)))
    bias = self.param("bias", nn.initializers.zeros, (len(self.table),))
    kernel = jnp.zeros((5, 5, x.shape[-1], len(self.table))).at[:, :, inputs, outputs].set(taps)
    return conv(x, kernel.astype(self.dtype)) + bias.astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """25 for each connection of the table at each output pixel."""
    return 25 * sum(len(row) for row in self.table) * int(np.prod(y[:-1]))


class RBF(nn.Module):
  """[B, 84] -> squared distances [B, num_classes] to the fixed codes; no parameters."""

  num_classes: int

  def __call__(self, x: jax.Array) -> jax.Array:
    return jnp.sum((x[:, None].astype(jnp.float32) - codes(self.num_classes)) ** 2, axis=-1)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """One for each squared difference."""
    return x[-1] * int(np.prod(y))


class Trunk(nn.Module):
  """Images [B, 32, 32, 1] -> C1, C3 and C5, the squashed maps of the three convolutions."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    if x.shape[1:3] != (32, 32):
      raise UserError(f"lenet5_1998 needs images of 32x32, found {x.shape[1]}x{x.shape[2]}")
    c1 = squash(Conv(6, 5, dtype=self.dtype, kernel_init=fan_in_uniform, name="C1")(x))
    s2 = squash(Subsample(self.dtype, name="S2")(c1))
    c3 = squash(TableConv(dtype=self.dtype, name="C3")(s2))
    s4 = squash(Subsample(self.dtype, name="S4")(c3))
    c5 = squash(Conv(120, 5, dtype=self.dtype, kernel_init=fan_in_uniform, name="C5")(s4))
    return {"C1": c1, "C3": c3, "C5": c5}


class Head(nn.Module):
  """C5 [B, 1, 1, 120] -> distances [B, num_classes] to the classes' codes."""

  num_classes: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = Flatten(name="flatten")(x)
    x = squash(Dense(84, dtype=self.dtype, kernel_init=fan_in_uniform, name="F6")(x))
    return RBF(self.num_classes, name="RBF")(x)


class LeNet51998(nn.Module):
  """Images [B, 32, 32, 1] -> {"logits": [B, num_classes]}: the negated distances."""

  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = Preprocessing(resize=(32, 32), channels=1)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    x = Trunk(self.dtype, name="trunk")(x, train=train)["C5"]
    return {"logits": -Head(self.num_classes, self.dtype, name="head")(x)}

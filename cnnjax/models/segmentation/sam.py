"""Segment Anything: an image is encoded once, and each prompt then decoded into masks.

Kirillov et al., "Segment anything", arXiv:2304.02643, section 3 and appendix A. The image encoder
is ViTDet's transformer (`vitdet.py`); the trunk of a network of convolutions may take its place.

What was trained is `variables["params"]`. The frequencies that encode places are drawn once and
never learnt; they lie in `variables["constants"]`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.errors import UserError, unknown
from cnnjax.layers import (
  GELU,
  MLP,
  Attention,
  Conv,
  ConvTranspose,
  Embedding,
  LayerNorm,
  of_strides,
  wide,
)
from cnnjax.models.segmentation.vitdet import EPSILON, Trunk
from cnnjax.ops.preprocess import IMAGENET, Preprocessing
from cnnjax.ops.resize import resize

# The longer side is scaled to 1024 pixels, and zeros fill the image up to a square.
AT_1024 = replace(IMAGENET, resize=1024, longest=1024, multiple=1024, crop=None)
PROMPTS = ("boxes", "valid", "points", "point_labels", "masks")
ROWS = ("background", "object", "top_left", "bottom_right", "no_point", "no_mask")

VIT_B = dict(width=768, depth=12, heads=12)  # arXiv:2304.02643, appendix A
VIT_L = dict(width=1024, depth=24, heads=16)
VIT_H = dict(width=1280, depth=32, heads=16)

Arrays = dict[str, jax.Array]


class Neck(nn.Module):
  """Maps [B, H, W, C] of several sizes -> their sum at one size, [B, h, w, features].

  Of one map it is SAM's: a 1x1 and a 3x3 convolution, each with its norm.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], size: Sequence[int]) -> jax.Array:
    options, x = dict(use_bias=False, dtype=self.dtype), 0
    for n, one in enumerate(maps, 1):
      x += Conv(self.features, 1, name=f"lateral{n}", **options)(resize(one, size))
    x = LayerNorm(EPSILON, self.dtype, name="norm1")(x)
    x = Conv(self.features, 3, padding=1, name="conv", **options)(x)
    return LayerNorm(EPSILON, self.dtype, name="norm2")(x)


class Fourier(nn.Module):
  """Places [..., 2] (x, y), 0 to 1 across the image -> [..., features] (arXiv:2006.10739).

  They are sines and cosines of the place times random frequencies, which are constants.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, places: jax.Array) -> jax.Array:
    def draw():
      return jax.random.normal(self.make_rng("params"), (2, self.features // 2))

    frequencies = self.variable("constants", "embedding", draw).value
    # In full precision: a rounded angle of many turns is another place.
    turns = jnp.matmul(2 * places - 1, frequencies, precision=jax.lax.Precision.HIGHEST)
    angle = 2 * jnp.pi * turns
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1).astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0, as for a table."""
    return 0


class MaskEncoder(nn.Module):
  """Mask logits [P, 4h, 4w] -> [P, h, w, features] (appendix A): 4, then 16 channels."""

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, masks: jax.Array) -> jax.Array:
    x, options = masks[..., None], dict(dtype=self.dtype)
    for n, width in enumerate((4, 16), 1):
      x = Conv(width, 2, 2, name=f"conv{n}", **options)(x)
      x = GELU(LayerNorm(EPSILON, name=f"norm{n}", **options)(x))
    return Conv(self.features, 1, name="conv3", **options)(x)


class PromptEncoder(nn.Module):
  """Prompts -> tokens [P, N, C], which of them there are [P, N], what is added to the embedding.

  A box is two tokens, for its corners. A point is one; beside points without a box stands one token
  more, that of no point, as in the authors' training.
  """

  features: int
  stride: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, prompts: Mapping[str, jax.Array], count: int, space: tuple[int, int]
  ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns tokens, which are real, the map of the mask prompts, and positions [h, w, C].

    Args:
      prompts: as `SAM.decode` takes them.
      count: P.
      space: (h, w) of the image's embedding.
    """
    height, width = space
    fourier = Fourier(self.features, self.dtype, name="fourier")
    options, first = dict(dtype=self.dtype), jnp.zeros((), int)
    row = {name: Embedding(1, self.features, name=name, **options)(first) for name in ROWS}
    pixels = jnp.array([width, height]) * self.stride
    tokens, real = jnp.zeros((count, 0, self.features), self.dtype), jnp.zeros((count, 0), bool)
    boxed = jnp.zeros(count, bool)
    if "boxes" in prompts:
      boxes = wide(prompts["boxes"])
      boxed = jnp.isfinite(boxes).all(-1) & jnp.asarray(prompts.get("valid", True), bool)
      corners = fourier((boxes.reshape(count, 2, 2) + 0.5) / pixels)
      tokens = corners + jnp.stack([row["top_left"], row["bottom_right"]])
      real = jnp.broadcast_to(boxed[:, None], (count, 2))
    if "points" in prompts:
      labels = prompts["point_labels"][..., None]
      there = fourier((wide(prompts["points"]) + 0.5) / pixels)
      there = there + jnp.where(labels == 1, row["object"], row["background"])
      none = jnp.broadcast_to(row["no_point"], (count, 1, self.features))
      given = labels[..., 0] >= 0
      alone = given.any(-1) & ~boxed
      tokens = jnp.concatenate([tokens, there, none], 1)
      real = jnp.concatenate([real, given, alone[:, None]], 1)
    tokens = jnp.where(real[..., None], tokens, 0)  # a box that is not there may hold NaN
    dense, encode = row["no_mask"], MaskEncoder(self.features, name="masks", **options)
    if "masks" in prompts:
      dense = encode(prompts["masks"])
    elif self.is_initializing():
      encode(jnp.zeros((1, 4 * height, 4 * width)))
    grid = jnp.stack(jnp.meshgrid(jnp.arange(width), jnp.arange(height)), -1)
    return tokens, real, dense, fourier((grid + 0.5) / jnp.array([width, height]))


class TwoWay(nn.Module):
  """Tokens [P, N, C] and pixels [P, M, C] read each other (figure 14).

  Attributes:
    heads: of each attention; those between tokens and pixels have C / 2 channels.
    hidden: channels of the tokens' MLP.
    first: whether it is the first block, whose tokens replace themselves by what they read.
  """

  heads: int
  hidden: int
  first: bool
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, tokens: jax.Array, pixels: jax.Array, where: tuple[jax.Array, jax.Array], real: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns both; `where` is what is added to each for its places, `real` [P, N] as given."""
    options, features = dict(dtype=self.dtype), tokens.shape[-1]
    norms = iter([LayerNorm(name=f"norm{n}", **options) for n in (1, 2, 3, 4)])
    half = dict(width=features // 2, **options)
    own = Attention(self.heads, name="self_attention", **options)
    if self.first:
      tokens = next(norms)(own(tokens, tokens, tokens, real))
    else:
      placed = tokens + where[0]
      tokens = next(norms)(tokens + own(placed, placed, tokens, real))
    read = Attention(self.heads, name="token_to_image", **half)
    tokens = next(norms)(tokens + read(tokens + where[0], pixels + where[1], pixels))
    mlp = MLP((self.hidden, features), nn.relu, name="mlp", **options)
    tokens = next(norms)(tokens + mlp(tokens))
    read = Attention(self.heads, name="image_to_token", **half)
    return tokens, next(norms)(pixels + read(pixels + where[1], tokens + where[0], tokens, real))


class MaskDecoder(nn.Module):
  """Embeddings and tokens -> logits [P, 4h, 4w, 4] and predicted IoUs [P, 4] (figure 14).

  The first mask is for prompts that leave no doubt, the others are the whole, a part and a part of
  that.
  """

  depth: int = 2
  heads: int = 8
  hidden: int = 2048
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, tokens: jax.Array, real: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns logits and IoUs.

    Args:
      x: the image's embedding and that of its mask prompt, [P, h, w, C].
      tokens: of the prompts, [P, N, C].
      real: which of them there are, [P, N].
      positions: of the pixels, [h, w, C].
    """
    options, features, shape = dict(dtype=self.dtype), x.shape[-1], x.shape
    outputs = (("iou_token", 1), ("mask_tokens", 4))
    asked = [Embedding(n, features, name=k, **options)(jnp.arange(n)) for k, n in outputs]
    asked = jnp.broadcast_to(jnp.concatenate(asked), (len(x), 5, features))
    placed = tokens = jnp.concatenate([asked, tokens], 1)
    real = jnp.concatenate([jnp.ones((len(x), 5), bool), real], 1)
    pixels, positions = x.reshape(len(x), -1, features), positions.reshape(1, -1, features)
    for n in range(1, self.depth + 1):
      block = TwoWay(self.heads, self.hidden, n == 1, name=f"block{n}", **options)
      tokens, pixels = block(tokens, pixels, (placed, positions), real)
    last = Attention(self.heads, features // 2, name="token_to_image", **options)
    y = last(tokens + placed, pixels + positions, pixels)
    tokens = LayerNorm(name="norm", **options)(tokens + y)
    x = ConvTranspose(features // 4, 2, 2, name="up1", **options)(pixels.reshape(shape))
    x = GELU(LayerNorm(EPSILON, name="up_norm", **options)(x))
    x = GELU(ConvTranspose(features // 8, 2, 2, name="up2", **options)(x))
    widths = (features, features, features // 8)
    weights = [
      MLP(widths, nn.relu, name=f"weights{n}", **options)(tokens[:, 1 + n]) for n in range(4)
    ]
    logits = jnp.einsum("phwc,pmc->phwm", x, jnp.stack(weights, 1))
    iou = MLP((features, features, 4), nn.relu, name="iou", **options)(tokens[:, 0])
    return wide(logits), wide(iou)


class SAM(nn.Module):
  """{"image": [B, H, W, C], and prompts} -> {"logits": [P, 4h, 4w, M], "iou": [P, M]}.

  Logits of M masks for each prompt, at a quarter of the stride of the image's embedding
  [B, h, w, features], and the IoU with the truth that the network expects of each. `encode` and
  `decode` do the two halves: prompts for an image that was encoded before cost little. With
  `apply`, they are `method="encode"` and `method="decode"`.

  Attributes:
    width: channels of the vision transformer.
    depth: its blocks.
    heads: of its attention.
    stages: into which its blocks are split, each with one block of global attention.
    window: side of the others' windows, in patches.
    stride: of the embedding, in pixels; the side of a transformer's patches.
    features: channels of the embedding and the prompts.
    hidden: channels of the MLPs of the mask decoder.
    multimask: whether M is 3, the whole, a part and a part of that, for prompts such as one point;
      else it is 1.
    classifier: a network whose trunk takes the vision transformer's place.
    taken: strides of its maps that the embedding is made of.
    num_classes: not used: a mask is of what the prompt shows, whatever its class.
  """

  task = "promptable"
  width: int = 768
  depth: int = 12
  heads: int = 12
  stages: int = 4
  window: int = 14
  stride: int = 16
  features: int = 256
  hidden: int = 2048
  multimask: bool = True
  classifier: nn.Module | None = None
  taken: Sequence[int] = ()
  num_classes: int = 1
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = AT_1024

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    if self.classifier is not None:
      return self.classifier.make_trunk()
    sizes = self.width, self.depth, self.heads, self.stages, self.window, self.stride
    return Trunk(*sizes, dtype=self.dtype, name="trunk")

  def setup(self):
    self.trunk = self.make_trunk()
    self.neck = Neck(self.features, dtype=self.dtype)
    self.prompt_encoder = PromptEncoder(self.features, self.stride, dtype=self.dtype)
    self.mask_decoder = MaskDecoder(hidden=self.hidden, dtype=self.dtype)

  def __call__(self, x: Any, *, train: bool) -> Arrays:
    x = x if isinstance(x, Mapping) else {"image": x}
    embedding = self.encode(x["image"], train=train)
    return self.decode(embedding, {key: value for key, value in x.items() if key != "image"})

  def encode(self, image: jax.Array, *, train: bool) -> jax.Array:
    """Returns the embedding [B, h, w, features] of images [B, H, W, C].

    Raises: UserError for sides that are no multiples of the stride.
    """
    size = image.shape[1:3]
    if any(side % self.stride for side in size):
      raise UserError(
        f"images must have sides that are multiples of {self.stride}, found "
        f"{'x'.join(map(str, size))}"
      )
    maps = of_strides(self.trunk(image, train=train), image, self.taken or (self.stride,))
    return self.neck(maps, [side // self.stride for side in size])

  def decode(self, embedding: jax.Array, prompts: Mapping[str, jax.Array]) -> Arrays:
    """Returns the masks' logits and IoUs, as `__call__` does.

    A prompt has fixed places, and what is not there changes nothing.

    Args:
      embedding: [B, h, w, features].
      prompts: for P masks, P / B of each image, which stand together; without any, one of each.
        boxes: [P, 4] as (x0, y0, x1, y1), in pixels of the encoded image.
        valid: [P], which boxes there are; so are those without a number that is not finite.
        points: [P, K, 2] as (x, y).
        point_labels: [P, K], 1 on the object, 0 beside it, -1 for no point.
        masks: [P, 4h, 4w], logits of an answer that is to be bettered.

    Raises: UserError for prompts that do not fit together, or that are not of this form.
    """
    images, *space, _ = embedding.shape
    count = number(prompts, images, space)
    tokens, real, dense, positions = self.prompt_encoder(prompts, count, space)
    x = jnp.repeat(embedding.astype(self.dtype), count // images, 0) + dense
    logits, iou = self.mask_decoder(x, tokens, real, positions)
    kept = slice(1, None) if self.multimask else slice(0, 1)
    return {"logits": logits[..., kept], "iou": iou[..., kept]}


def number(prompts: Mapping[str, jax.Array], images: int, space: Sequence[int]) -> int:
  """Returns the number of prompts; without any, one for each image.

  Raises: UserError for prompts that images with embeddings of (height, width) `space` cannot have.
  """
  for key in prompts:
    if key not in PROMPTS:
      raise unknown("kind of prompt", key, PROMPTS)
  for key, other in (("points", "point_labels"), ("point_labels", "points"), ("valid", "boxes")):
    if key in prompts and other not in prompts:
      raise UserError(f"prompts of {key} need {other} too")
  count = next((len(prompts[k]) for k in ("boxes", "points", "masks") if k in prompts), images)
  places = np.shape(prompts.get("points", ()))[1:2]
  wanted = dict(boxes=(4,), valid=(), points=(*places, 2), point_labels=places)
  wanted["masks"] = tuple(4 * side for side in space)
  for key, value in prompts.items():
    if np.shape(value) != (count, *wanted[key]):
      raise UserError(
        f"prompts of {key} must have the shape {(count, *wanted[key])}, found {np.shape(value)}"
      )
  if count % images:
    raise UserError(f"{count} prompts cannot be shared evenly by {images} images")
  return count


def at_image(
  logits: jax.Array, side: Sequence[int], extent: Sequence[int], size: Sequence[int]
) -> jax.Array:
  """Returns logits [P, h, w, M] interpolated to a user's image, [P, *size, M].

  Args:
    logits: of a network's answer.
    side: (height, width) of the image that was encoded.
    extent: (height, width) of the part of it that is no padding.
    size: (height, width) of the user's image.
  """
  whole = resize(logits, side)
  return resize(whole[:, : extent[0], : extent[1]], size)

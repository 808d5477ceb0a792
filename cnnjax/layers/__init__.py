"""Layers that two papers or more use, each with the count of its multiply-adds."""

from cnnjax.layers.attention import GELU, MLP, Attention, Embedding, LayerNorm, MapAttention
from cnnjax.layers.conv import Conv, ConvTranspose, Dense
from cnnjax.layers.conv_norm import KAIMING, ConvNorm
from cnnjax.layers.heads import LinearHead, wide
from cnnjax.layers.norm import BatchNorm, InstanceNorm, L2Norm, LocalResponseNorm
from cnnjax.layers.pool import (
  AdaptiveAvgPool,
  AvgPool,
  Flatten,
  GlobalAvgPool,
  MaxPool,
  PyramidPool,
)
from cnnjax.layers.pyramid import FeaturePyramid, of_strides
from cnnjax.layers.size import check_size
from cnnjax.layers.squeeze_excite import SqueezeExcite
from cnnjax.layers.stochastic_depth import StochasticDepth, death_rates
from cnnjax.layers.width import divisible

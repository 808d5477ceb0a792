"""LeNet-5 and ResNet-20 in PyTorch, which torchvision does not have, with our variables."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from flax.traverse_util import flatten_dict
from torch import nn

NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


class LeNet5(nn.Module):
  """The same network as in `models/classification/lenet.py`."""

  def __init__(self):
    super().__init__()
    convs = dict(conv1=nn.Conv2d(3, 6, 5), conv2=nn.Conv2d(6, 16, 5))
    self.trunk = nn.ModuleDict({**convs, "conv3": nn.Conv2d(16, 120, 5)})
    self.head = nn.ModuleDict(dict(fc1=nn.Linear(120, 84), fc2=nn.Linear(84, 10)))

  def forward(self, x):
    x = F.max_pool2d(F.relu(self.trunk["conv1"](x)), 2)
    x = F.max_pool2d(F.relu(self.trunk["conv2"](x)), 2)
    x = F.relu(self.trunk["conv3"](x)).flatten(1)
    return self.head["fc2"](F.relu(self.head["fc1"](x)))


class Unit(nn.Module):
  """A 3x3 convolution and its batch norm."""

  def __init__(self, c: int, width: int, stride: int = 1):
    super().__init__()
    self.conv, self.norm = nn.Conv2d(c, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)

  def forward(self, x):
    return self.norm(self.conv(x))


class Block(nn.Module):
  """Two units and option A's shortcut (arXiv:1512.03385, section 4.2)."""

  def __init__(self, c: int, width: int, stride: int):
    super().__init__()
    self.stride, self.half = stride, (width - c) // 2
    self.conv1, self.conv2 = Unit(c, width, stride), Unit(width, width)

  def forward(self, x):
    y = self.conv2(F.relu(self.conv1(x)))
    if self.half:
      x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.half, self.half))
    return F.relu(y + x)


class ResNet20(nn.Module):
  """The same network as in `models/classification/resnet_cifar.py`, with n = 3."""

  def __init__(self):
    super().__init__()
    stages, c = dict(stem=Unit(3, 16)), 16
    for stage, width in enumerate((16, 32, 64), 1):
      for i in range(3):
        stages[f"stage{stage}_{i}"] = Block(c, width, 2 if c != width else 1)
        c = width
    self.trunk = nn.ModuleDict(stages)
    self.head = nn.ModuleDict(dict(fc=nn.Linear(64, 10)))

  def forward(self, x):
    x = F.relu(self.trunk["stem"](x))
    for name, block in self.trunk.items():
      x = x if name == "stem" else block(x)
    return self.head["fc"](x.mean((2, 3)))


def fill(net: nn.Module, variables: Any) -> nn.Module:
  """Returns the network with our variables; its modules have the names of their paths."""
  found = {}
  for tree in variables.values():
    for path, value in flatten_dict(tree, sep=".").items():
      where, _, leaf = path.rpartition(".")
      if leaf == "kernel":
        value = np.moveaxis(value, (-1, -2), (0, 1))
      found[f"{where}.{NAMES.get(leaf, leaf)}"] = torch.tensor(np.ascontiguousarray(value))
  missing, unexpected = net.load_state_dict(found, strict=False)
  left = unexpected + [name for name in missing if not name.endswith("num_batches_tracked")]
  assert not left, left
  return net

"""Other libraries' names for our layers: a module for each family, with tables of names.

A table maps a layer's path in our variables to its prefix in a file. `{i}` stands for a number,
`{i-1}` for that number less one; the first row that matches counts. A dense layer that reads a
flattened map is written (prefix, (height, width)): PyTorch flattens the channels first, we flatten
them last. With (1, 1) the file has a 1x1 convolution in its place. A prefix that ends in "=" is the
whole name of a tensor.
"""

import re
from typing import Any

from cnnjax.checkpoints.port import (
  alexnet,
  deeplab,
  densenet,
  googlenet,
  mobilenet,
  rcnn,
  resnet,
  resnet3d,
  resnet_cifar,
  sam,
  senet,
  ssd,
  vgg,
)
from cnnjax.models.classification.alexnet import AlexNet
from cnnjax.models.classification.densenet import DenseNet
from cnnjax.models.classification.googlenet import GoogLeNet
from cnnjax.models.classification.mobilenet import MobileNetV1, MobileNetV2
from cnnjax.models.classification.resnet import ResNet
from cnnjax.models.classification.resnet3d import ResNet3D
from cnnjax.models.classification.resnet_cifar import CifarResNet
from cnnjax.models.classification.senet import SENet
from cnnjax.models.classification.vgg import VGG
from cnnjax.models.detection.faster_rcnn import FasterRCNN
from cnnjax.models.detection.mask_rcnn import MaskRCNN
from cnnjax.models.detection.ssd import SSD
from cnnjax.models.segmentation.deeplab import DeepLab
from cnnjax.models.segmentation.sam import SAM

Names = dict[str, str | tuple[str, tuple[int, int]]]

PORTS = {  # class: model -> {library: names}
  AlexNet: alexnet.names,
  CifarResNet: resnet_cifar.names,
  DeepLab: deeplab.names,
  DenseNet: densenet.names,
  FasterRCNN: rcnn.names,
  GoogLeNet: googlenet.names,
  MaskRCNN: rcnn.names,
  MobileNetV1: mobilenet.names_v1,
  MobileNetV2: mobilenet.names_v2,
  ResNet: resnet.names,
  ResNet3D: resnet3d.names,
  SAM: sam.names,
  SENet: senet.names,
  SSD: ssd.names,
  VGG: vgg.names,
}


def namings(model: Any) -> dict[str, Names]:
  """Returns the tables of a model's family by library; {} where no library has the model."""
  return PORTS[type(model)](model) if type(model) in PORTS else {}


def translate(path: str, names: Names) -> tuple[str, tuple[int, int] | None] | None:
  """Returns a file's prefix for a layer's path, and the size of a flattened map if it reads one.

  It returns None for a path that no row matches.
  """
  for ours, theirs in names.items():
    found = re.fullmatch(re.sub(r"\{(\w)\}", r"(?P<\1>\\d+)", ours), path)
    if found:
      prefix, size = theirs if isinstance(theirs, tuple) else (theirs, None)

      def number(place, found=found):
        return str(int(found[place[1]]) + int(place[2] or 0))

      return re.sub(r"\{(\w)([+-]\d+)?\}", number, prefix), size
  return None

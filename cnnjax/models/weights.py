"""The table of published weights, each set with its preprocessing and published accuracy.

A set has the resize, crop, mean and deviation that it was scored with: they differ between sets of
one architecture. `checkpoints.transfer` loads the tensors themselves.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cnnjax.errors import unknown
from cnnjax.layers.norm import EPSILON
from cnnjax.models.classification.resnet_cifar import AT_32
from cnnjax.models.detection.faster_rcnn import AT_800
from cnnjax.models.detection.ssd import CAFFE300
from cnnjax.models.segmentation.deeplab import AT_520
from cnnjax.models.segmentation.medsam import SQUARE
from cnnjax.models.segmentation.sam import AT_1024
from cnnjax.ops.clip import KINETICS
from cnnjax.ops.preprocess import IMAGENET, Preprocessing


class Weights(NamedTuple):
  """A published set: its file (torchvision's) or hub id (timm's), preprocessing, published top-1.

  The accuracy is the publisher's, in per cent on ImageNet's validation or CIFAR-10's test images,
  or by five clips of each of Kinetics-400's validation videos. `epsilon` is what batch norm adds
  to the variance: 0 in torchvision's detectors.
  """

  file: str
  preprocessing: Preprocessing
  top1: float | None
  hub: str = ""
  epsilon: float = EPSILON


def _at(resize: int, **more) -> Preprocessing:
  return replace(IMAGENET, resize=resize, labels="imagenet", **more)


def _coco(preprocessing: Preprocessing) -> Preprocessing:
  return replace(preprocessing, labels="coco")


_V1, _V2 = _at(256), _at(232)  # torchvision's first and second recipes
_HALF = _at(256, mean=(0.5,) * 3, std=(0.5,) * 3)  # equal to GoogLeNet's `transform_input`
_400 = replace(KINETICS, labels="kinetics400", clips=5, stride=2)  # of videos of 30 frames a second
_RA, _A1 = _at(256, interpolation="bicubic"), _at(235, interpolation="bicubic")
_RA4 = _at(256, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
_VOC = replace(AT_520, labels="voc")

CIFAR_B = replace(AT_32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))


def _cifar10(file: str, top1: float, preprocessing: Preprocessing) -> dict[str, Weights]:
  return {"CIFAR10": Weights(file, replace(preprocessing, labels="cifar10"), top1)}


# model: {set: Weights}; torchvision 0.28's and timm 1.0's tables. The CIFAR ResNets' are those of
# akamaster/pytorch_resnet_cifar10 and, with option B, of chenyaofo/pytorch-cifar-models.
WEIGHTS = {
  "alexnet": {"IMAGENET1K_V1": Weights("alexnet-owt-7be5be79.pth", _V1, 56.522)},
  "vgg11": {"IMAGENET1K_V1": Weights("vgg11-8a719046.pth", _V1, 69.020, "timm/vgg11.tv_in1k")},
  "vgg13": {"IMAGENET1K_V1": Weights("vgg13-19584684.pth", _V1, 69.928, "timm/vgg13.tv_in1k")},
  "vgg16": {"IMAGENET1K_V1": Weights("vgg16-397923af.pth", _V1, 71.592, "timm/vgg16.tv_in1k")},
  "vgg19": {"IMAGENET1K_V1": Weights("vgg19-dcbb9e9d.pth", _V1, 72.376, "timm/vgg19.tv_in1k")},
  "vgg11_bn": {
    "IMAGENET1K_V1": Weights("vgg11_bn-6002323d.pth", _V1, 70.370, "timm/vgg11_bn.tv_in1k")
  },
  "vgg13_bn": {
    "IMAGENET1K_V1": Weights("vgg13_bn-abd245e5.pth", _V1, 71.586, "timm/vgg13_bn.tv_in1k")
  },
  "vgg16_bn": {
    "IMAGENET1K_V1": Weights("vgg16_bn-6c64b313.pth", _V1, 73.360, "timm/vgg16_bn.tv_in1k")
  },
  "vgg19_bn": {
    "IMAGENET1K_V1": Weights("vgg19_bn-c79401a0.pth", _V1, 74.218, "timm/vgg19_bn.tv_in1k")
  },
  "googlenet": {"IMAGENET1K_V1": Weights("googlenet-1378be20.pth", _HALF, 69.778)},
  "resnet18": {
    "IMAGENET1K_V1": Weights("resnet18-f37072fd.pth", _V1, 69.758, "timm/resnet18.tv_in1k")
  },
  "resnet34": {
    "IMAGENET1K_V1": Weights("resnet34-b627a593.pth", _V1, 73.314, "timm/resnet34.tv_in1k")
  },
  "resnet50": {
    "IMAGENET1K_V1": Weights("resnet50-0676ba61.pth", _V1, 76.130, "timm/resnet50.tv_in1k"),
    "IMAGENET1K_V2": Weights("resnet50-11ad3fa6.pth", _V2, 80.858, "timm/resnet50.tv2_in1k"),
  },
  "resnet101": {
    "IMAGENET1K_V1": Weights("resnet101-63fe2227.pth", _V1, 77.374, "timm/resnet101.tv_in1k"),
    "IMAGENET1K_V2": Weights("resnet101-cd907fc2.pth", _V2, 81.886, "timm/resnet101.tv2_in1k"),
  },
  "resnet152": {
    "IMAGENET1K_V1": Weights("resnet152-394f9c45.pth", _V1, 78.312, "timm/resnet152.tv_in1k"),
    "IMAGENET1K_V2": Weights("resnet152-f82ba261.pth", _V2, 82.284, "timm/resnet152.tv2_in1k"),
  },
  "resnet20_cifar": _cifar10("resnet20-12fca82f.th", 91.73, AT_32),
  "resnet32_cifar": _cifar10("resnet32-d509ac18.th", 92.63, AT_32),
  "resnet44_cifar": _cifar10("resnet44-014dd654.th", 93.10, AT_32),
  "resnet56_cifar": _cifar10("resnet56-4bfd9763.th", 93.39, AT_32),
  "resnet110_cifar": _cifar10("resnet110-1d1ed7c2.th", 93.68, AT_32),
  "resnet20_cifar_b": _cifar10("cifar10_resnet20-4118986f.pt", 92.60, CIFAR_B),
  "resnet32_cifar_b": _cifar10("cifar10_resnet32-ef93fc4d.pt", 93.53, CIFAR_B),
  "resnet44_cifar_b": _cifar10("cifar10_resnet44-2a3cabcb.pt", 94.01, CIFAR_B),
  "resnet56_cifar_b": _cifar10("cifar10_resnet56-187c023a.pt", 94.37, CIFAR_B),
  "seresnet50": {
    "ra2_in1k": Weights("", _RA, None, "timm/seresnet50.ra2_in1k"),
    "a1_in1k": Weights("", _A1, None, "timm/seresnet50.a1_in1k"),
  },
  "legacy_senet154": {"in1k": Weights("legacy_senet154-e9eb9fe6.pth", _V1, 81.3)},
  "densenet121": {
    "IMAGENET1K_V1": Weights("densenet121-a639ec97.pth", _V1, 74.434, "timm/densenet121.tv_in1k"),
    "ra_in1k": Weights("", _RA, None, "timm/densenet121.ra_in1k"),
  },
  "densenet161": {
    "IMAGENET1K_V1": Weights("densenet161-8d451a50.pth", _V1, 77.138, "timm/densenet161.tv_in1k")
  },
  "densenet169": {
    "IMAGENET1K_V1": Weights("densenet169-b2777c0a.pth", _V1, 75.600, "timm/densenet169.tv_in1k")
  },
  "densenet201": {
    "IMAGENET1K_V1": Weights("densenet201-c1103571.pth", _V1, 76.896, "timm/densenet201.tv_in1k")
  },
  "mobilenet_v1": {
    "ra4_e3600_r224_in1k": Weights("", _RA4, None, "timm/mobilenetv1_100.ra4_e3600_r224_in1k")
  },
  "mobilenet_v2": {
    "IMAGENET1K_V1": Weights("mobilenet_v2-b0353104.pth", _V1, 71.878),
    "IMAGENET1K_V2": Weights("mobilenet_v2-7ebf99e0.pth", _V2, 72.154),
    "ra_in1k": Weights("", _RA, None, "timm/mobilenetv2_100.ra_in1k"),
  },
  "r3d_18": {"KINETICS400_V1": Weights("r3d_18-b3b3357e.pth", _400, 63.200)},
  "mc3_18": {"KINETICS400_V1": Weights("mc3_18-a90a0ba3.pth", _400, 63.960)},
  "r2plus1d_18": {"KINETICS400_V1": Weights("r2plus1d_18-91a641e6.pth", _400, 67.463)},
  "faster_rcnn_fpn": {
    "COCO_V1": Weights(
      "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", _coco(AT_800), None, epsilon=0.0
    )
  },
  "mask_rcnn": {
    "COCO_V1": Weights("maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", _coco(AT_800), None, epsilon=0.0)
  },
  "fcn_resnet50": {
    "COCO_WITH_VOC_LABELS_V1": Weights("fcn_resnet50_coco-1167a1af.pth", _VOC, None)
  },
  "deeplabv3_resnet50": {
    "COCO_WITH_VOC_LABELS_V1": Weights("deeplabv3_resnet50_coco-cd0a2569.pth", _VOC, None)
  },
  "ssd300": {"COCO_V1": Weights("ssd300_vgg16_coco-b556d3b4.pth", _coco(CAFFE300), None)},
  "sam_vit_b": {"SA_1B": Weights("sam_vit_b_01ec64.pth", AT_1024, None, "facebook/sam-vit-base")},
  "sam_vit_l": {"SA_1B": Weights("sam_vit_l_0b3195.pth", AT_1024, None, "facebook/sam-vit-large")},
  "sam_vit_h": {"SA_1B": Weights("sam_vit_h_4b8939.pth", AT_1024, None, "facebook/sam-vit-huge")},
  "medsam_vit_b": {"MEDSAM": Weights("medsam_vit_b.pth", SQUARE, None)},
}


def find(model: str, weights: str) -> Weights:
  """Returns a set of a model's by its name, its hub id, or a path that ends in its file's name.

  Raises: UserError with the nearest names.
  """
  if row := known(model, weights):
    return row
  raise unknown(f"weights of {model}", weights, WEIGHTS.get(model, {}))


def known(model: str, weights: str) -> Weights | None:
  """Returns what `find` finds, or None."""
  for name, row in WEIGHTS.get(model, {}).items():
    if weights == name or weights == row.hub or (row.file and Path(weights).name == row.file):
      return row
  return None


def epsilon(model: str, weights: str) -> float:
  """Returns the batch norm epsilon of a set, or our own where the set is not known."""
  row = known(model, weights)
  return row.epsilon if row else EPSILON


def digest(file: str) -> str:
  """Returns the first digits of the SHA-256 of a published file, "" for a name that is none.

  torchvision's names (and timm's that have their form) end in them: resnet18-f37072fd.pth.
  """
  published = {row.file for rows in WEIGHTS.values() for row in rows.values()}
  stated = re.search(r"-([0-9a-f]{8})\.pth$", file)
  return stated[1] if stated and file in published else ""


@cache
def labels(name: str) -> tuple[str, ...]:
  """Returns the class names of the list `Preprocessing.labels`; none for ""."""
  if not name:
    return ()
  return tuple((Path(__file__).parent / f"{name}.txt").read_text().splitlines())

"""The one table of names: every model that cnnjax can make."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from os import PathLike
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.errors import UserError, unknown
from cnnjax.models import weights as published
from cnnjax.models.classification.airbench import Airbench
from cnnjax.models.classification.alexnet import ALEXNET_2012, AlexNet
from cnnjax.models.classification.c3d import C3D
from cnnjax.models.classification.classroom import MLP, ClassroomCNN, LocalNet, Logistic
from cnnjax.models.classification.densenet import (
  DENSENET121,
  DENSENET161,
  DENSENET169,
  DENSENET201,
  DenseNet,
)
from cnnjax.models.classification.googlenet import GoogLeNet, Original
from cnnjax.models.classification.i3d import I3D
from cnnjax.models.classification.lenet import LeNet5
from cnnjax.models.classification.lenet_1998 import LeNet51998
from cnnjax.models.classification.mobilenet import MobileNetV1, MobileNetV2
from cnnjax.models.classification.resnet import BasicBlock, Bottleneck, ResNet
from cnnjax.models.classification.resnet3d import Factored, ResNet3D, factored_stem, flat, full
from cnnjax.models.classification.resnet_cifar import CifarResNet, Highway, Plain, Residual
from cnnjax.models.classification.senet import SENet
from cnnjax.models.classification.series_cnn import SeriesCNN
from cnnjax.models.classification.vgg import VGG, VGG11, VGG13, VGG16, VGG19
from cnnjax.models.classification.volume_series_cnn import VolumeSeriesCNN
from cnnjax.models.detection.fast_rcnn import AT_600, FastRCNN
from cnnjax.models.detection.faster_rcnn import AT_800, FasterRCNN
from cnnjax.models.detection.mask_rcnn import MaskRCNN
from cnnjax.models.detection.rcnn import RCNN
from cnnjax.models.detection.sppnet import SPPNet
from cnnjax.models.detection.ssd import CAFFE300, CAFFE512, SSD, SSD300, SSD512
from cnnjax.models.detection.yolo import FAST_YOLO, YOLOv1
from cnnjax.models.segmentation.deeplab import DeepLab, FCNHead
from cnnjax.models.segmentation.fcn import FCN, FCN8S, FCN16S, FCN32S
from cnnjax.models.segmentation.medsam import MEDSAM, TINY
from cnnjax.models.segmentation.sam import SAM, VIT_B, VIT_H, VIT_L
from cnnjax.models.segmentation.unet import AT_64, AT_572, UNET3D, UNet
from cnnjax.ops.preprocess import IMAGENET, Preprocessing


class Row(NamedTuple):
  """A model: its constructor, input [*space, C], published parameter count, paper, and task.

  `trunk` is the classifier whose trunk the model has by default, with its arguments.
  """

  make: Callable[..., nn.Module]
  input: tuple[int, ...]
  parameters: int
  paper: str
  task: str = "classification"
  trunk: tuple[str, Mapping[str, Any]] = ("", {})


_28, _32 = (28, 28, 1), (32, 32, 3)
_224, _1024, _CLIP = (224, 224, 3), (1024, 1024, 3), (16, 112, 112, 3)
_TUMOR = Preprocessing(resize=(128, 128), channels=1)
_AT_227 = replace(IMAGENET, crop=(227, 227))
_SE = partial(BasicBlock, squeeze=16)
_SE_BOTTLENECK = partial(Bottleneck, squeeze=16)
_SE_RESIDUAL = partial(Residual, squeeze=16)
_OPTION_B = dict(block=BasicBlock, preprocessing=published.CIFAR_B)  # projections as shortcuts
_CHENYAOFO = "arXiv:1512.03385, option B"
_VGG16, _DILATED50 = ("vgg16", {"ceil": True}), ("resnet50", {"output_stride": 8})
_STRIDE_FIRST = partial(Bottleneck, stride_first=True)

ZOO = {
  "logistic": Row(Logistic, _28, 7_850, "course/000"),
  "mlp": Row(MLP, _28, 89_610, "course/001"),
  "lecture_cnn": Row(
    partial(ClassroomCNN, (12, 24), 1, (64,), dropout=0.2), _28, 78_714, "course/003"
  ),
  "local_net": Row(LocalNet, _28, 240_618, "course/004"),
  "tumor_net": Row(
    partial(ClassroomCNN, (20, 10), 0, (300, 100), num_classes=4, preprocessing=_TUMOR),
    (128, 128, 1), 2_732_814, "course/000",
  ),
  "lenet5": Row(LeNet5, _32, 62_006, "course/000, LeNet-5"),
  "lenet5_1998": Row(LeNet51998, (32, 32, 1), 60_000, "LeCun et al. 1998"),
  "alexnet": Row(AlexNet, _224, 61_100_840, "arXiv:1404.5997"),
  "alexnet_2012": Row(
    partial(AlexNet, ALEXNET_2012, preprocessing=_AT_227),
    (227, 227, 3), 60_965_224, "Krizhevsky et al. 2012",
  ),
  "vgg11": Row(partial(VGG, VGG11), _224, 132_863_336, "arXiv:1409.1556"),
  "vgg13": Row(partial(VGG, VGG13), _224, 133_047_848, "arXiv:1409.1556"),
  "vgg16": Row(partial(VGG, VGG16), _224, 138_357_544, "arXiv:1409.1556"),
  "vgg19": Row(partial(VGG, VGG19), _224, 143_667_240, "arXiv:1409.1556"),
  "vgg11_bn": Row(partial(VGG, VGG11, norm=True), _224, 132_868_840, "arXiv:1409.1556"),
  "vgg13_bn": Row(partial(VGG, VGG13, norm=True), _224, 133_053_736, "arXiv:1409.1556"),
  "vgg16_bn": Row(partial(VGG, VGG16, norm=True), _224, 138_365_992, "arXiv:1409.1556"),
  "vgg19_bn": Row(partial(VGG, VGG19, norm=True), _224, 143_678_248, "arXiv:1409.1556"),
  "googlenet": Row(GoogLeNet, _224, 13_004_888, "arXiv:1409.4842"),
  "googlenet_2014": Row(
    partial(GoogLeNet, Original, dropout=0.4), _224, 13_378_280, "arXiv:1409.4842"
  ),
  "resnet18": Row(partial(ResNet, (2, 2, 2, 2), BasicBlock), _224, 11_689_512, "arXiv:1512.03385"),
  "resnet34": Row(partial(ResNet, (3, 4, 6, 3), BasicBlock), _224, 21_797_672, "arXiv:1512.03385"),
  "resnet50": Row(partial(ResNet, (3, 4, 6, 3), Bottleneck), _224, 25_557_032, "arXiv:1512.03385"),
  "resnet101": Row(
    partial(ResNet, (3, 4, 23, 3), Bottleneck), _224, 44_549_160, "arXiv:1512.03385"
  ),
  "resnet152": Row(
    partial(ResNet, (3, 8, 36, 3), Bottleneck), _224, 60_192_808, "arXiv:1512.03385"
  ),
  "resnet50_2015": Row(
    partial(ResNet, (3, 4, 6, 3), _STRIDE_FIRST), _224, 25_557_032, "arXiv:1512.03385"
  ),
  "resnet20_cifar": Row(partial(CifarResNet, n=3), _32, 269_722, "arXiv:1512.03385, section 4.2"),
  "resnet32_cifar": Row(partial(CifarResNet, n=5), _32, 464_154, "arXiv:1512.03385, section 4.2"),
  "resnet44_cifar": Row(partial(CifarResNet, n=7), _32, 658_586, "arXiv:1512.03385, section 4.2"),
  "resnet56_cifar": Row(partial(CifarResNet, n=9), _32, 853_018, "arXiv:1512.03385, section 4.2"),
  "resnet110_cifar": Row(
    partial(CifarResNet, n=18), _32, 1_727_962, "arXiv:1512.03385, section 4.2",
  ),
  "resnet20_cifar_b": Row(partial(CifarResNet, n=3, **_OPTION_B), _32, 272_474, _CHENYAOFO),
  "resnet32_cifar_b": Row(partial(CifarResNet, n=5, **_OPTION_B), _32, 466_906, _CHENYAOFO),
  "resnet44_cifar_b": Row(partial(CifarResNet, n=7, **_OPTION_B), _32, 661_338, _CHENYAOFO),
  "resnet56_cifar_b": Row(partial(CifarResNet, n=9, **_OPTION_B), _32, 855_770, _CHENYAOFO),
  "plain20_cifar": Row(partial(CifarResNet, n=3, block=Plain), _32, 269_722, "arXiv:1512.03385"),
  "plain56_cifar": Row(partial(CifarResNet, n=9, block=Plain), _32, 853_018, "arXiv:1512.03385"),
  "highway20_cifar": Row(
    partial(CifarResNet, n=3, block=Highway), _32, 392_170, "arXiv:1505.00387",
  ),
  "seresnet20_cifar": Row(
    partial(CifarResNet, n=3, block=_SE_RESIDUAL), _32, 272_095, "arXiv:1709.01507",
  ),
  "airbench94": Row(Airbench, _32, 1_971_640, "arXiv:2404.00498"),
  "seresnet18": Row(partial(ResNet, (2, 2, 2, 2), _SE), _224, 11_779_624, "arXiv:1709.01507"),
  "seresnet34": Row(partial(ResNet, (3, 4, 6, 3), _SE), _224, 21_960_416, "arXiv:1709.01507"),
  "seresnet50": Row(
    partial(ResNet, (3, 4, 6, 3), _SE_BOTTLENECK), _224, 28_088_024, "arXiv:1709.01507"
  ),
  "seresnet101": Row(
    partial(ResNet, (3, 4, 23, 3), _SE_BOTTLENECK), _224, 49_326_872, "arXiv:1709.01507"
  ),
  "seresnet152": Row(
    partial(ResNet, (3, 8, 36, 3), _SE_BOTTLENECK), _224, 66_821_848, "arXiv:1709.01507"
  ),
  "legacy_senet154": Row(SENet, _224, 115_088_984, "arXiv:1709.01507"),
  "densenet121": Row(partial(DenseNet, DENSENET121), _224, 7_978_856, "arXiv:1608.06993"),
  "densenet161": Row(partial(DenseNet, DENSENET161, 48), _224, 28_681_000, "arXiv:1608.06993"),
  "densenet169": Row(partial(DenseNet, DENSENET169), _224, 14_149_480, "arXiv:1608.06993"),
  "densenet201": Row(partial(DenseNet, DENSENET201), _224, 20_013_928, "arXiv:1608.06993"),
  "mobilenet_v1": Row(MobileNetV1, _224, 4_231_976, "arXiv:1704.04861"),
  "mobilenet_v2": Row(MobileNetV2, _224, 3_504_872, "arXiv:1801.04381"),
  "series_cnn": Row(SeriesCNN, (128, 1), 265_994, "arXiv:1611.06455"),
  "c3d": Row(C3D, _CLIP, 79_991_015, "arXiv:1412.0767"),
  "r3d_18": Row(partial(ResNet3D, (full,) * 4), _CLIP, 33_371_472, "arXiv:1711.11248"),
  "mc3_18": Row(partial(ResNet3D, (full, flat, flat, flat)), _CLIP, 11_695_440, "arXiv:1711.11248"),
  "r2plus1d_18": Row(
    partial(ResNet3D, (Factored,) * 4, factored_stem), _CLIP, 31_505_325, "arXiv:1711.11248"
  ),
  "i3d": Row(
    I3D, (64, 224, 224, 3), 12_697_264, "arXiv:1705.07750", trunk=("googlenet", {}),
  ),
  "volume_series_cnn": Row(
    VolumeSeriesCNN, (16, 32, 32, 32, 1), 1_014_994, "arXiv:1611.06455",
    trunk=("r3d_18", {"width": 16, "depths": (1, 1, 1)}),
  ),
  "rcnn": Row(RCNN, (500, 500, 3), 57_909_177, "arXiv:1311.2524", "detection", ("alexnet", {})),
  "sppnet": Row(SPPNet, (500, 500, 3), 72_875_961, "arXiv:1406.4729", "detection", ("alexnet", {})),
  "fast_rcnn": Row(
    partial(FastRCNN, preprocessing=AT_600), _224, 134_690_729, "arXiv:1504.08083", "detection",
    ("vgg16", {}),
  ),
  "faster_rcnn": Row(
    partial(
      FasterRCNN, taken=(16,), pyramid=0, sides=((128, 256, 512),), hidden=4096, dropout=0.5,
      proposals=(2000, 300), candidates=(12000, 6000), count=128, suppression=0.3, num_classes=20,
      preprocessing=AT_600,
    ),
    _224, 137_073_622, "arXiv:1506.01497", "detection", ("vgg16", {}),
  ),
  "faster_rcnn_fpn": Row(
    partial(FasterRCNN, preprocessing=AT_800),
    _224, 41_808_406, "arXiv:1612.03144", "detection", ("resnet50", {}),
  ),
  "mask_rcnn": Row(
    partial(MaskRCNN, preprocessing=AT_800),
    _224, 44_454_513, "arXiv:1703.06870", "detection", ("resnet50", {}),
  ),
  "ssd": Row(
    partial(
      SSD, taken=(8, 16, 32), extra=((128, 256, 3, 2, 1),) * 2,
      preprocessing=replace(IMAGENET, resize=(128, 128), crop=None),
    ),
    (128, 128, 3), 13_766_958, "arXiv:1512.02325", "detection", ("resnet18", {}),
  ),
  "ssd300": Row(
    partial(SSD, **SSD300, converted=True, num_classes=90, preprocessing=CAFFE300),
    (300, 300, 3), 35_641_826, "arXiv:1512.02325", "detection", ("vgg16", {"ceil": True}),
  ),
  "ssd512": Row(
    partial(SSD, **SSD512, converted=True, preprocessing=CAFFE512),
    (512, 512, 3), 27_188_676, "arXiv:1512.02325", "detection", ("vgg16", {"ceil": True}),
  ),
  "yolo_v1": Row(YOLOv1, (448, 448, 3), 271_703_550, "arXiv:1506.02640", "detection"),
  "fast_yolo": Row(
    partial(YOLOv1, table=FAST_YOLO, hidden=(256, 4096)),
    (448, 448, 3), 45_089_374, "arXiv:1506.02640", "detection",
  ),
  "fcn32s": Row(
    partial(FCN, taken=FCN32S), _224, 134_346_581, "arXiv:1411.4038", "segmentation", _VGG16,
  ),
  "fcn16s": Row(
    partial(FCN, taken=FCN16S), _224, 134_364_410, "arXiv:1411.4038", "segmentation", _VGG16,
  ),
  "fcn8s": Row(
    partial(FCN, taken=FCN8S), _224, 134_376_863, "arXiv:1411.4038", "segmentation", _VGG16,
  ),
  "fcn_resnet50": Row(
    partial(DeepLab, make_head=FCNHead), _224, 35_322_218, "arXiv:1706.05587", "segmentation",
    _DILATED50,
  ),
  "deeplabv3_resnet50": Row(
    DeepLab, _224, 42_004_074, "arXiv:1706.05587", "segmentation", _DILATED50,
  ),
  "unet": Row(
    partial(UNet, norm="batch"), (256, 256, 3), 31_036_738, "arXiv:1505.04597", "segmentation",
  ),
  "unet_2015": Row(
    partial(UNet, padding="valid", dropout=0.5, preprocessing=AT_572),
    (572, 572, 1), 31_029_698, "arXiv:1505.04597", "segmentation",
  ),
  "unet3d": Row(
    partial(UNet, widths=UNET3D, halved=True, norm="batch", preprocessing=AT_64),
    (64, 64, 64, 1), 19_070_498, "arXiv:1606.06650", "segmentation",
  ),
  "sam_vit_b": Row(partial(SAM, **VIT_B), _1024, 93_735_472, "arXiv:2304.02643", "promptable"),
  "sam_vit_l": Row(partial(SAM, **VIT_L), _1024, 312_342_832, "arXiv:2304.02643", "promptable"),
  "sam_vit_h": Row(partial(SAM, **VIT_H), _1024, 641_090_608, "arXiv:2304.02643", "promptable"),
  "medsam_vit_b": Row(partial(SAM, **MEDSAM), _1024, 93_735_472, "arXiv:2304.12306", "promptable"),
  "medsam_tiny": Row(
    partial(SAM, **TINY), (128, 128, 3), 2_144_688, "arXiv:2304.12306", "promptable",
    ("unet", {"widths": (16, 32, 64, 128, 256), "norm": "batch"}),
  ),
}  # fmt: skip

KINDS = {  # a field's type: what may be given for it
  bool: bool | np.bool_,
  int: int | np.integer,
  float: int | float | np.integer | np.floating,
  str: str,
}
DTYPES = ("float32", "bfloat16", "float16", "float64")


def row(name: str) -> Row:
  """Returns the zoo's row of a name. Raises: UserError with the nearest names."""
  if not isinstance(name, str):
    raise UserError(f"a model is asked for by its name, such as 'lenet5'; found {shown(name)}")
  if name not in ZOO:
    raise unknown("model", name, ZOO)
  return ZOO[name]


def list_models(task: str | None = None) -> list[str]:
  """Returns the names of all models, or of those for one task."""
  return [name for name, r in ZOO.items() if task in (None, r.task)]


def shown(value: Any) -> str:
  """Returns what was found in place of something else, for a message of one line."""
  text = " ".join(repr(value).split())
  return f"{text[:40]}{' ...' * (len(text) > 40)} of type {type(value).__name__}"


def _dtype(dtype: Any) -> jnp.dtype:
  dtype = "float32" if dtype is None else dtype
  try:
    name = dtype if isinstance(dtype, str) else jnp.dtype(dtype).name
  except TypeError:
    raise UserError(f"dtype must be one of {', '.join(DTYPES)}; found {shown(dtype)}") from None
  if name not in DTYPES:
    raise unknown("dtype", name, DTYPES)
  if jax.dtypes.canonicalize_dtype(name) != jnp.dtype(name):
    raise UserError("dtype float64 needs JAX_ENABLE_X64=1; without it jax computes in float32")
  return jnp.dtype(name)


def create_model(name: str, *, weights: str = "", **arguments: Any) -> nn.Module:
  """Returns a model by its name, e.g. create_model("lenet5", num_classes=4, dtype="bfloat16").

  Args:
    name: of the zoo.
    weights: a published set ("IMAGENET1K_V2"), its file or hub id, whose preprocessing and labels
      the model gets; `load_pretrained` loads the tensors.
    **arguments: fields of the model, such as num_classes and dtype; of a network on
      another's trunk also `trunk`, that classifier's name, and `trunk_arguments`, its fields.

  Raises: UserError for an unknown name, an unknown set, a dtype that no model computes in, or an
    argument that this model does not have.
  """
  entry = row(name)
  if not isinstance(weights, str | PathLike):
    raise UserError(f"weights are named by a word or a path, found {shown(weights)}")
  _check(name, entry.make, arguments)
  if weights:
    arguments = {"preprocessing": published.find(name, str(weights)).preprocessing, **arguments}
  if "dtype" in arguments:
    arguments["dtype"] = _dtype(arguments["dtype"])
  if entry.task != "classification" or entry.trunk[0]:
    arguments = _with_trunk(entry.trunk, **arguments)
  try:
    return entry.make(**arguments)
  except TypeError as error:
    raise UserError(f"model {name}: {error}") from error


def _check(name: str, make: Callable[..., nn.Module], arguments: Mapping[str, Any]) -> None:
  """Raises: UserError for a number, word or switch that is of another kind than its field."""
  types = {field.name: field.type for field in fields(getattr(make, "func", make))}
  for key, value in arguments.items():
    kind = types.get(key)
    strange = isinstance(value, bool) and kind is not bool  # a bool is an int to Python
    if kind in KINDS and (strange or not isinstance(value, KINDS[kind])):
      raise UserError(f"model {name}: {key} must be {kind.__name__}, found {shown(value)}")
    if key == "num_classes" and value < 1:
      raise UserError(f"model {name}: num_classes must be at least 1, found {value}")
    if key == "preprocessing" and not hasattr(value, "shape"):
      raise UserError(f"model {name}: preprocessing must be a Preprocessing, found {shown(value)}")


def _with_trunk(default, *, trunk="", trunk_arguments=None, **arguments):
  """Returns a model's fields with `classifier`. Raises: UserError for one without a trunk."""
  name, more = default
  if trunk or trunk_arguments:
    name, more = trunk or name, trunk_arguments or {}
  if trunk_arguments and not name:
    raise UserError("trunk_arguments are fields of a trunk; name it by trunk")
  if not hasattr(more, "keys"):  # a part of a config is no Mapping to Python
    raise UserError(f"trunk_arguments must be fields by name, found {shown(more)}")
  if name:  # YOLO has a trunk of its own
    dtype = {k: v for k, v in arguments.items() if k == "dtype"}
    classifier = create_model(name, **{**more, **dtype})
    if not hasattr(classifier, "make_trunk"):
      raise UserError(f"{name} has no trunk that another network could take")
    arguments["classifier"] = classifier
  return arguments

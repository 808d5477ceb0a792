"""The layers of the CIFAR ResNets as the repositories name them that publish their weights.

Those of akamaster/pytorch_resnet_cifar10 have shortcuts without parameters (option A), those of
chenyaofo/pytorch-cifar-models projections (option B).
"""

from cnnjax.checkpoints.port.resnet import TORCHVISION
from cnnjax.models.classification.resnet import BasicBlock
from cnnjax.models.classification.resnet_cifar import Residual

LINEAR = {**TORCHVISION, "head/fc": "linear"}
SHORTCUT = {
  path: name.replace("downsample", "shortcut") if isinstance(name, str) else name
  for path, name in LINEAR.items()
}


def names(model):
  """Returns the mappings; networks of other blocks have none."""
  block, arguments = getattr(model.block, "func", model.block), getattr(model.block, "keywords", {})
  if arguments.get("squeeze"):
    return {}
  if block is Residual:
    return {"akamaster": LINEAR, "torchvision's": TORCHVISION}
  if block is BasicBlock:
    return {"chenyaofo": TORCHVISION, "akamaster, option B": SHORTCUT}
  return {}

"""The layers of torchvision's segmentation networks on ResNets."""

from cnnjax.checkpoints.port import resnet
from cnnjax.models.classification.resnet import ResNet
from cnnjax.models.segmentation.deeplab import FCNHead

PLAIN = {"conv/conv": "0", "conv/norm": "1", "logits": "4"}
PYRAMID = {
  "pyramid0/conv": "0.convs.0.0",
  "pyramid0/norm": "0.convs.0.1",
  "pyramid{i}/conv": "0.convs.{i}.0",
  "pyramid{i}/norm": "0.convs.{i}.1",
  "image/conv": "0.convs.4.1",
  "image/norm": "0.convs.4.2",
  "project/conv": "0.project.0",
  "project/norm": "0.project.1",
  "conv/conv": "1",
  "conv/norm": "2",
  "logits": "4",
}


def names(model):
  """Returns the mappings; only networks on a ResNet have any."""
  if not isinstance(model.classifier, ResNet):
    return {}
  trunk = {p: name for p, name in resnet.TORCHVISION.items() if p.startswith("trunk/")}
  head = PLAIN if model.make_head is FCNHead else PYRAMID
  return {
    "torchvision": {
      **{path: f"backbone.{name}" for path, name in trunk.items() if isinstance(name, str)},
      **{f"head/{path}": f"classifier.{name}" for path, name in head.items()},
      **{f"aux_head/{path}": f"aux_classifier.{name}" for path, name in PLAIN.items()},
    }
  }

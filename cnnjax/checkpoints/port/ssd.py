"""SSD300's layers as torchvision names them."""

from cnnjax.checkpoints.port.vgg import features
from cnnjax.models.classification.vgg import VGG16


def names(model):
  """Returns the mappings; only the network with VGG-16's trunk has any."""
  if not model.converted:
    return {}
  trunk = {path: f"backbone.{name}" for path, name in features(VGG16, False).items()}
  trunk |= {f"trunk/conv5_{i}": f"backbone.extra.0.{2 * i - 1}" for i in (1, 2, 3)}
  return {
    "torchvision": {
      **trunk,
      "norm4_3": "backbone.scale_weight=",
      "fc6": "backbone.extra.0.7.1",
      "fc7": "backbone.extra.0.7.3",
      "extra{i}_1": "backbone.extra.{i}.0",
      "extra{i}_2": "backbone.extra.{i}.2",
      "logits{i}": "head.classification_head.module_list.{i-1}",
      "offsets{i}": "head.regression_head.module_list.{i-1}",
    }
  }

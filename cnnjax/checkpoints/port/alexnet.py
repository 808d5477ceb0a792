"""AlexNet's layers as torchvision names them."""

TORCHVISION = {
  "trunk/conv1": "features.0",
  "trunk/conv2": "features.3",
  "trunk/conv3": "features.6",
  "trunk/conv4": "features.8",
  "trunk/conv5": "features.10",
  "head/fc6": ("classifier.1", (6, 6)),
  "head/fc7": "classifier.4",
  "head/fc8": "classifier.6",
}


def names(model):
  """Returns the mappings."""
  return {"torchvision": TORCHVISION}

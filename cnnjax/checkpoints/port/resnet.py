"""The layers of ResNets and SE-ResNets, which have the same names in torchvision and timm."""

TORCHVISION = {
  "trunk/stem/conv": "conv1",
  "trunk/stem/norm": "bn1",
  "trunk/stage{s}_{i}/conv{j}/conv": "layer{s}.{i}.conv{j}",
  "trunk/stage{s}_{i}/conv{j}/norm": "layer{s}.{i}.bn{j}",
  "trunk/stage{s}_{i}/squeeze/fc{j}": ("layer{s}.{i}.se.fc{j}", (1, 1)),
  "trunk/stage{s}_{i}/shortcut/conv": "layer{s}.{i}.downsample.0",
  "trunk/stage{s}_{i}/shortcut/norm": "layer{s}.{i}.downsample.1",
  "head/fc": "fc",
}


def names(model):
  """Returns the mappings."""
  return {"torchvision": TORCHVISION}

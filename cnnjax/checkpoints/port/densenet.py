"""DenseNet's layers as torchvision and timm name them; torchvision's files have older names."""

TORCHVISION = {
  "trunk/stem/conv": "features.conv0",
  "trunk/stem/norm": "features.norm0",
  "trunk/stage{s}_{i}_reduce/{part}": "features.denseblock{s}.denselayer{i}.{part}1",
  "trunk/stage{s}_{i}/{part}": "features.denseblock{s}.denselayer{i}.{part}2",
  "trunk/transition{s}/norm": "features.transition{s}.norm",
  "trunk/transition{s}/conv": "features.transition{s}.conv",
  "trunk/norm": "features.norm5",
  "head/fc": "classifier",
}
TORCHVISION = {
  row.replace("{part}", part): name.replace("{part}", part)
  for row, name in TORCHVISION.items()
  for part in ("norm", "conv")
}
OLD = {  # the published .pth files have norm.1 where the module has norm1
  row: name.replace("norm1", "norm.1").replace("norm2", "norm.2")
  for row, name in TORCHVISION.items()
}
OLD = {row: name.replace("conv1", "conv.1").replace("conv2", "conv.2") for row, name in OLD.items()}


def names(model):
  """Returns the mappings."""
  return {"torchvision": TORCHVISION, "torchvision's files": OLD}

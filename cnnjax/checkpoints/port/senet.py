"""SENet-154's layers as timm names them."""

TIMM = {
  "trunk/stem{j}/conv": "layer0.conv{j}",
  "trunk/stem{j}/norm": "layer0.bn{j}",
  "trunk/stage{s}_{i}/conv{j}/conv": "layer{s}.{i}.conv{j}",
  "trunk/stage{s}_{i}/conv{j}/norm": "layer{s}.{i}.bn{j}",
  "trunk/stage{s}_{i}/squeeze/fc{j}": ("layer{s}.{i}.se_module.fc{j}", (1, 1)),
  "trunk/stage{s}_{i}/shortcut/conv": "layer{s}.{i}.downsample.0",
  "trunk/stage{s}_{i}/shortcut/norm": "layer{s}.{i}.downsample.1",
  "head/fc": "last_linear",
}


def names(model):
  """Returns the mappings."""
  return {"timm": TIMM}

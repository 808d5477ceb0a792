"""The layers of R3D, MC3 and R(2+1)D as torchvision names them."""

from cnnjax.models.classification.resnet3d import Factored

TORCHVISION = {
  "trunk/stem/conv": "stem.0",
  "trunk/stem/norm": "stem.1",
  "trunk/stage{s}_{i}/conv{j}/conv": "layer{s}.{i}.conv{j}.0",
  "trunk/stage{s}_{i}/conv{j}/norm": "layer{s}.{i}.conv{j}.1",
  "trunk/stage{s}_{i}/shortcut/conv": "layer{s}.{i}.downsample.0",
  "trunk/stage{s}_{i}/shortcut/norm": "layer{s}.{i}.downsample.1",
  "head/fc": "fc",
}
FACTORED = {
  "trunk/stem/space/conv": "stem.0",
  "trunk/stem/space/norm": "stem.1",
  "trunk/stem/time/conv": "stem.3",
  "trunk/stem/time/norm": "stem.4",
  "trunk/stage{s}_{i}/conv{j}/space/conv": "layer{s}.{i}.conv{j}.0.0",
  "trunk/stage{s}_{i}/conv{j}/space/norm": "layer{s}.{i}.conv{j}.0.1",
  "trunk/stage{s}_{i}/conv{j}/time/conv": "layer{s}.{i}.conv{j}.0.3",
  "trunk/stage{s}_{i}/conv{j}/time/norm": "layer{s}.{i}.conv{j}.1",
}


def names(model):
  """Returns the mappings."""
  return {"torchvision": TORCHVISION | (FACTORED if Factored in model.units else {})}

"""GoogLeNet's layers as torchvision names them."""

BRANCHES = {
  "one": "branch1",
  "three_reduce": "branch2.0",
  "three": "branch2.1",
  "five_reduce": "branch3.0",
  "five": "branch3.1",
  "projection": "branch4.1",
}
TORCHVISION = {
  "trunk/conv1/conv": "conv1.conv",
  "trunk/conv1/norm": "conv1.bn",
  "trunk/conv2_reduce/conv": "conv2.conv",
  "trunk/conv2_reduce/norm": "conv2.bn",
  "trunk/conv2/conv": "conv3.conv",
  "trunk/conv2/norm": "conv3.bn",
  **{
    f"trunk/inception{module}/{ours}/{part}": f"inception{module}.{theirs}.{their_part}"
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    for ours, theirs in BRANCHES.items()
    for part, their_part in (("conv", "conv"), ("norm", "bn"))
  },
  "aux{i}/conv/conv": "aux{i}.conv.conv",
  "aux{i}/conv/norm": "aux{i}.conv.bn",
  "aux{i}/fc1": ("aux{i}.fc1", (4, 4)),
  "aux{i}/fc2": "aux{i}.fc2",
  "head/fc": "fc",
}


def names(model):
  """Returns the mappings."""
  return {"torchvision": TORCHVISION}

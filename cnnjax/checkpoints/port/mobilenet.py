"""The layers of MobileNets as torchvision and timm name them."""

from cnnjax.models.classification.mobilenet import V2

TIMM_V1 = {
  "trunk/stem/conv": "conv_stem",
  "trunk/stem/norm": "bn1",
  "trunk/stage{s}_{i}/depthwise/conv": "blocks.{s-1}.{i}.conv_dw",
  "trunk/stage{s}_{i}/depthwise/norm": "blocks.{s-1}.{i}.bn1",
  "trunk/stage{s}_{i}/pointwise/conv": "blocks.{s-1}.{i}.conv_pw",
  "trunk/stage{s}_{i}/pointwise/norm": "blocks.{s-1}.{i}.bn2",
  "head/fc": "classifier",
}
TIMM_V2 = {
  "trunk/stem/conv": "conv_stem",
  "trunk/stem/norm": "bn1",
  "trunk/stage1_0/depthwise/conv": "blocks.0.0.conv_dw",  # the first block does not expand
  "trunk/stage1_0/depthwise/norm": "blocks.0.0.bn1",
  "trunk/stage1_0/project/conv": "blocks.0.0.conv_pw",
  "trunk/stage1_0/project/norm": "blocks.0.0.bn2",
  "trunk/stage{s}_{i}/expand/conv": "blocks.{s-1}.{i}.conv_pw",
  "trunk/stage{s}_{i}/expand/norm": "blocks.{s-1}.{i}.bn1",
  "trunk/stage{s}_{i}/depthwise/conv": "blocks.{s-1}.{i}.conv_dw",
  "trunk/stage{s}_{i}/depthwise/norm": "blocks.{s-1}.{i}.bn2",
  "trunk/stage{s}_{i}/project/conv": "blocks.{s-1}.{i}.conv_pwl",
  "trunk/stage{s}_{i}/project/norm": "blocks.{s-1}.{i}.bn3",
  "trunk/top/conv": "conv_head",
  "trunk/top/norm": "bn2",
  "head/fc": "classifier",
}


def torchvision_v2() -> dict[str, str]:
  """Returns torchvision's names, which number the blocks of all stages consecutively."""
  found = {
    "trunk/stem/conv": "features.0.0",
    "trunk/stem/norm": "features.0.1",
    "trunk/top/conv": "features.18.0",
    "trunk/top/norm": "features.18.1",
    "head/fc": "classifier.1",
  }
  blocks = [(s, i, t) for s, (t, _, n, _) in enumerate(V2, 1) for i in range(n)]
  for number, (stage, i, expansion) in enumerate(blocks, 1):
    ours, theirs = f"trunk/stage{stage}_{i}", f"features.{number}.conv"
    units = ["expand", "depthwise"] if expansion != 1 else ["depthwise"]
    for place, unit in enumerate(units):
      found[f"{ours}/{unit}/conv"] = f"{theirs}.{place}.0"
      found[f"{ours}/{unit}/norm"] = f"{theirs}.{place}.1"
    found[f"{ours}/project/conv"] = f"{theirs}.{len(units)}"
    found[f"{ours}/project/norm"] = f"{theirs}.{len(units) + 1}"
  return found


def names_v1(model):
  """Returns the mappings of MobileNetV1."""
  return {"timm": TIMM_V1}


def names_v2(model):
  """Returns the mappings of MobileNetV2."""
  return {"torchvision": torchvision_v2(), "timm": TIMM_V2}

"""VGG's layers as torchvision and timm name them: convolutions by their index among all layers."""


def features(depths, norm) -> dict[str, str]:
  """Returns the convolutions' and norms' names; ReLUs and pools count in the numbers too."""
  found, place = {}, 0
  for stage, depth in enumerate(depths, 1):
    for i in range(1, depth + 1):
      found[f"trunk/conv{stage}_{i}"] = f"features.{place}"
      found[f"trunk/norm{stage}_{i}"] = f"features.{place + 1}"
      place += 3 if norm else 2
    place += 1
  return found


def names(model):
  """Returns the mappings."""
  torchvision = {
    "head/fc6": ("classifier.0", (7, 7)),
    "head/fc7": "classifier.3",
    "head/fc8": "classifier.6",
  }
  timm = {
    "head/fc6": ("pre_logits.fc1", (7, 7)),
    "head/fc7": ("pre_logits.fc2", (1, 1)),
    "head/fc8": "head.fc",
  }
  trunk = features(model.depths, model.norm)
  return {"torchvision": trunk | torchvision, "timm": trunk | timm}

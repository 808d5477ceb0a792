"""A file of weights on a folder of images: what `evaluate --model --weights` begins with.

  python -m experiments.evaluate --model=resnet18 --weights=resnet18-f37072fd.pth \\
    --config.data.root=FOLDER

The weights say the rest: the network's classes and preprocessing.
"""

from typing import Any

from cnnjax.keys import defaults


def get_config(mode: str = "full") -> Any:
  """Returns the config; its mode `quick` trains a small network on generated images."""
  config = defaults()
  config.data.update(name="folder", batch_size=64)
  if mode == "quick":
    config.data.update(name="fake", batch_size=32, resize=(32, 32))
    config.train.epochs = 2.0
  return config

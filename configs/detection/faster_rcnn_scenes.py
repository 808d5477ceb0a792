"""Faster R-CNN with a small trunk and pyramid on generated scenes of handwritten digits.

python -m experiments.train --config=configs/detection/faster_rcnn_scenes.py
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "faster_rcnn_fpn"
  config.model.arguments.update(
    trunk="resnet18", trunk_arguments={}, taken=(4, 8, 16, 32), pyramid=64,
    sides=((16,), (32,), (64,), (96,), (128,)), hidden=256, proposals=(300, 100),
    candidates=(500, 300), sampled=128, count=64, places=20,
  )  # fmt: skip
  config.data.update(
    name="scenes", arguments=dict(examples=2500, classes=10), batch_size=16, resize=(128, 128),
    channels=3, mean=(0.5,), std=(0.25,),
  )  # fmt: skip
  config.optim.update(warmup_epochs=0.5, clip_norm=10.0)
  config.train.update(epochs=30.0, log_every=50)
  if mode == "quick":
    config.model.arguments.update(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=(2, 4), pyramid=16,
      sides=((8,), (16,), (32,)), hidden=32, proposals=(50, 50), candidates=(100, 100), sampled=32,
      count=16,
    )  # fmt: skip
    config.data.arguments.update(examples=40, classes=2)
    config.data.update(batch_size=8, resize=(64, 64))
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()

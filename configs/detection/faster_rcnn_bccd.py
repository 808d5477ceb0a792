"""Faster R-CNN with a small trunk and pyramid on real blood cells (BCCD, a VOC folder).

  python -m experiments.train --config=configs/detection/faster_rcnn_bccd.py \\
    --config.data.root=FOLDER

Seed 0 found on the 72 test images map50 0.8785, in 43 min on one core (docs/results.md).
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "faster_rcnn_fpn"
  config.model.arguments.update(
    trunk="resnet18", trunk_arguments={}, taken=(4, 8, 16, 32), pyramid=64,
    sides=((16,), (24,), (48,), (64,), (96,)), hidden=256, proposals=(300, 100),
    candidates=(500, 300), sampled=128, count=64, places=100,
  )  # fmt: skip
  config.data.update(
    name="voc", batch_size=4, resize=(192, 256), channels=3, mean=(0.5,), std=(0.25,)
  )
  config.augment.update(flip=True, flip_vertical=True, crop=(0.5, 1.0))
  config.optim.update(warmup_epochs=0.5, clip_norm=10.0)
  config.train.update(epochs=30.0, log_every=25)
  if mode == "quick":
    config.model.arguments.update(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=(2, 4), pyramid=16,
      sides=((8,), (16,), (32,)), hidden=32, proposals=(50, 50), candidates=(100, 100), sampled=32,
      count=16,
    )  # fmt: skip
    config.data.update(
      name="scenes", arguments=dict(examples=40, classes=2), batch_size=8, resize=(64, 64)
    )
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()

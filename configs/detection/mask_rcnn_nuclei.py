"""Mask R-CNN with a small trunk and pyramid on nuclei in microscopy: boxes and masks.

  python -m experiments.train --config=configs/detection/mask_rcnn_nuclei.py \\
    --config.data.root=FOLDER

Seed 0 found on the 80 test images AP50 of 0.5607 for boxes and 0.5408 for masks, in 29 min on one
core (docs/results.md).
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "mask_rcnn"
  config.model.arguments.update(
    trunk="resnet18", trunk_arguments={}, taken=(4, 8, 16, 32), pyramid=64,
    sides=((8,), (16,), (32,), (64,), (96,)), hidden=256, proposals=(300, 400),
    candidates=(500, 1000), sampled=128, count=64, places=200, mask_size=14, mask_widths=(64, 64),
  )  # fmt: skip
  config.data.update(
    name="instances", arguments=dict(kind="nucleus"), batch_size=4, resize=(192, 192), channels=3,
    mean=(0.5,), std=(0.25,),
  )  # fmt: skip
  config.augment.update(flip=True, flip_vertical=True)
  config.optim.update(warmup_epochs=0.5, clip_norm=10.0)
  config.train.update(epochs=15.0, log_every=40)
  if mode == "quick":
    config.model.arguments.update(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=(2, 4), pyramid=16,
      sides=((8,), (16,), (32,)), hidden=32, proposals=(50, 50), candidates=(100, 100), sampled=32,
      count=16, mask_size=7, mask_widths=(16,),
    )  # fmt: skip
    config.data.arguments = dict(examples=40, classes=2, masks=True)
    config.data.update(name="scenes", batch_size=8, resize=(64, 64))
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()

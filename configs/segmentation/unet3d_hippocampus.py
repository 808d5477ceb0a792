"""A 3-D U-Net on MRI of the hippocampus, as its volumes suggest: anterior and posterior part.

Written by `python -m experiments.configure --data=FOLDER --memory=640MiB --width=12 --steps=1500
--arguments="{'on_error': 'skip', 'classes': ('background', 'anterior', 'posterior')}"` from 208
volumes of the Medical Segmentation Decathlon. Width and steps are what two cores do in an hour.

  python -m experiments.train --config=configs/segmentation/unet3d_hippocampus.py \\
    --config.data.root=FOLDER

The last line of its log, without its end (docs/results.md has each part):

  epoch 32.11   step    1501 test       loss 0.0378  pixel_accuracy 0.9869  mean_iou 0.8325
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("segmentation", "volume")
  config.model.name = "unet3d"
  # 12 channels, doubled at each level to at most 320; another level would have a side below 4.
  # Instance norm: a batch is too small for its own moments.
  config.model.arguments.update(widths=(12, 24, 48, 96), norm="instance")
  config.data.update(
    name="volumes", arguments={'on_error': 'skip', 'classes': ('background', 'anterior',
    'posterior')}, validation=0.1
  )  # fmt: skip
  # The median, in millimetres; they are from 1x1x1 to 1x1x1.
  config.data.spacing = (1.0, 1.0, 1.0)
  # Values are of no scale (the lowest are 0 to 4), so each volume is brought to mean 0 and
  # deviation 1.
  config.data.normalize = "each"
  # Volumes have 36x50x35 voxels at that spacing, the median; 4 levels halve sides that are
  # multiples of 8.
  config.data.tile = (40, 56, 40)
  # A step needs about 0.535 GiB of 0.625 GiB.
  config.data.batch_size = 4
  # Classes are of unlike size: background 94.72%, anterior 2.76%, posterior 2.52%.
  config.task.update(cross_entropy=1.0, dice=1.0)
  config.augment.update(
    flip=True, flip_vertical=True, flip_depth=True, rotate=30.0, scale=(0.7, 1.4), gamma=0.4,
    brightness=0.25, contrast=0.25, noise=0.3, blur=1.0, low_resolution=(0.5, 1.0)
  )  # fmt: skip
  config.optim.update(learning_rate=2e-3, warmup_epochs=1.0, clip_norm=10.0)
  # 1,500 steps of 4 windows.
  config.train.update(epochs=32.1, watch="validation", evaluate_every=3.21)
  config.checkpoint.best = "dice"
  if mode == "quick":
    config.model.arguments = dict(widths=(8, 16), norm="instance")
    config.data.update(name="solids", batch_size=4, spacing=(), tile=(16, 16, 16))
    config.data.arguments = dict(examples=32, size=18)
    config.augment.update(rotate=0.0, scale=(), gamma=0.0, brightness=0.0, contrast=0.0)
    config.augment.update(noise=0.0, blur=0.0, low_resolution=())
    config.train.update(epochs=2.0, evaluate_every=1.0, log_every=4)
  return config.lock()

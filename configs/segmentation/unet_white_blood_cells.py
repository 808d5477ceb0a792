"""A U-Net of 4 levels on microscopy of white blood cells: nucleus, cytoplasm, background.

  python -m experiments.train --config=configs/segmentation/unet_white_blood_cells.py \\
    --config.data.root=FOLDER
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("segmentation")
  config.model.name = "unet"
  config.model.arguments.update(widths=(16, 32, 64, 128))
  config.data.update(
    name="white_blood_cells", batch_size=8, resize=(120, 120), channels=3, validation=0.1
  )
  config.task.update(cross_entropy=1.0, dice=1.0)
  config.augment.update(
    flip=True, flip_vertical=True, rotate=180.0, scale=(0.8, 1.25), brightness=0.2, contrast=0.2
  )
  config.optim.update(learning_rate=2e-3, warmup_epochs=1.0, clip_norm=10.0)
  config.train.update(epochs=30.0, watch="validation", evaluate_every=3.0, log_every=36)
  config.checkpoint.best = "mean_iou"
  if mode == "quick":
    config.model.arguments.update(widths=(8, 16))
    config.data.update(name="fake", batch_size=16, resize=(), channels=0)
    config.data.arguments = dict(label="segments", examples=128)
    config.augment.update(rotate=10.0)
    config.train.update(epochs=4.0, evaluate_every=1.0, log_every=4)
  return config.lock()

"""A 3-D U-Net on MRI of the hippocampus: its anterior and posterior part, and the background.

  python -m experiments.train --config=configs/segmentation/unet3d_hippocampus.py \\
    --config.data.root=FOLDER
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("segmentation", "volume")
  config.model.name = "unet3d"
  config.model.arguments.update(widths=(16, 32, 64, 128), norm="instance")
  config.data.update(
    name="volumes", batch_size=2, tile=(40, 56, 40), validation=0.1,
    arguments=dict(classes=("background", "anterior", "posterior"), on_error="skip"),
  )  # fmt: skip
  config.task.update(cross_entropy=1.0, dice=1.0)
  config.optim.update(learning_rate=2e-3, warmup_epochs=1.0, clip_norm=10.0)
  config.train.update(epochs=30.0, watch="validation", evaluate_every=3.0, log_every=50)
  config.checkpoint.best = "dice"
  if mode == "quick":
    config.model.arguments.update(widths=(8, 16))
    config.data.update(name="solids", batch_size=4, tile=(16, 16, 16))
    config.data.arguments = dict(examples=32, size=18)
    config.train.update(epochs=2.0, evaluate_every=1.0, log_every=4)
  return config.lock()

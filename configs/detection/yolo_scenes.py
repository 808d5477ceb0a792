"""A small Fast YOLO on generated scenes: a Poisson number of handwritten digits, with boxes.

  python -m experiments.train --config=configs/detection/yolo_scenes.py

A cell has one object, so the cells are fine, 8 pixels wide, and few digits share one. On MNIST's
digits seed 0 found map50 0.7382, in 20 min on one core (docs/results.md).
"""

from cnnjax.keys import defaults

TABLE = (  # kernel size, channels and strides; the grid has cells of 8 pixels
  (3, 32, 2), "M",
  (3, 64, 1), "M",
  (3, 128, 1), (3, 256, 1), (3, 256, 1),
)  # fmt: skip


def get_config(mode="full"):
  config = defaults("detection")
  config.model.update(
    name="fast_yolo", arguments=dict(table=TABLE, norm=True, hidden=(), places=20)
  )
  config.data.update(
    name="scenes", arguments=dict(examples=2500, classes=10), batch_size=16, resize=(128, 128),
    channels=3,
  )  # fmt: skip
  config.optim.update(learning_rate=2e-3, warmup_epochs=0.5, clip_norm=10.0)
  config.train.update(epochs=30.0, log_every=50)
  if mode == "quick":
    config.data.arguments.update(examples=40, classes=2)
    config.data.update(batch_size=8, resize=(64, 64))
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()

"""SSD with a small trunk on real blood cells (BCCD, a VOC folder).

  python -m experiments.train --config=configs/detection/ssd_bccd.py \\
    --config.data.root=FOLDER

Seed 0 found on the 72 test images map50 0.8710, in 55 min on one core (docs/results.md).
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "ssd"
  config.model.arguments.update(
    trunk="resnet18", trunk_arguments={}, taken=(8, 16, 32), extra=((64, 128, 3, 2, 1),) * 2,
    scales=(0.07, 0.15, 0.3, 0.5, 0.7, 0.9), places=100,
  )  # fmt: skip
  config.data.update(
    name="voc", batch_size=8, resize=(192, 256), channels=3, mean=(0.5,), std=(0.25,)
  )
  config.augment.update(flip=True, flip_vertical=True, crop=(0.5, 1.0))
  config.optim.update(warmup_epochs=0.5, clip_norm=10.0)
  config.train.update(epochs=60.0, log_every=25)
  if mode == "quick":
    config.model.arguments.update(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=(4,),
      extra=((32, 32, 3, 2, 1),) * 2, scales=(0.15, 0.3, 0.6, 0.9),
    )  # fmt: skip
    config.data.update(name="scenes", arguments=dict(examples=40, classes=2), resize=(64, 64))
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()

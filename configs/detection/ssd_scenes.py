"""SSD with a small trunk on generated scenes: a Poisson number of handwritten digits, with boxes.

python -m experiments.train --config=configs/detection/ssd_scenes.py
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "ssd"
  config.model.arguments.update(
    trunk="resnet18", trunk_arguments={}, taken=(8, 16, 32), extra=((64, 128, 3, 2, 1),) * 2,
    places=20,
  )  # fmt: skip
  config.data.update(
    name="scenes", arguments=dict(examples=2500, classes=10), batch_size=16, resize=(128, 128),
    channels=3, mean=(0.5,), std=(0.25,),
  )  # fmt: skip
  config.optim.update(warmup_epochs=0.5, clip_norm=10.0)
  config.train.update(epochs=30.0, log_every=50)
  if mode == "quick":
    config.model.arguments.update(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=(4,), extra=((32, 32, 3, 2, 1),) * 2
    )
    config.data.arguments.update(examples=40, classes=2)
    config.data.update(batch_size=8, resize=(64, 64))
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()

"""ResNet-20 on single frames of moving digits, which do not show a direction.

  python -m experiments.train --config=configs/classification/resnet20_moving_digits.py

It is the control of r3d_moving_digits.py. The last line of its log (chance is 0.125, and
docs/results.md has three seeds):

  epoch 8.00   step     450 test       loss 2.4283  accuracy 0.1275
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults()
  config.model.name = "resnet20_cifar"
  config.data.update(name="moving_digits", validation=0.1)
  config.optim.update(learning_rate=3e-3, warmup_epochs=1.0)
  config.train.update(epochs=8.0, watch="validation", evaluate_every=2.0, log_every=50)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.arguments = dict(examples=256)
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()

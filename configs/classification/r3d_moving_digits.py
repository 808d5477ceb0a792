"""A small R3D on clips of moving digits, whose direction no single frame shows.

  python -m experiments.train --config=configs/classification/r3d_moving_digits.py

The last line of its log (docs/results.md has three seeds):

  epoch 8.00   step     450 test       loss 0.0065  accuracy 1.0000
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults(input="clip")
  config.model.name = "r3d_18"
  config.model.arguments.update(width=8, depths=(1, 1, 1))  # of 64 and (2, 2, 2, 2)
  config.data.update(name="moving_digits", frames=16, validation=0.1)
  config.optim.update(learning_rate=3e-3, warmup_epochs=1.0)
  config.train.update(epochs=8.0, watch="validation", evaluate_every=2.0, log_every=50)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.update(frames=4, arguments=dict(examples=256))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()

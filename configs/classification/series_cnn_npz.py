"""A small 1-D network on series of numbers: arrays x_train [N, L] or [N, L, C], y_train, x_test, ..

  python -m experiments.train --config=configs/classification/series_cnn_npz.py \\
    --config.data.root=SET.npz
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults(input="series")
  config.model.name = "series_cnn"
  config.model.arguments.blocks = ((16, 8), (32, 5), (16, 3))  # an eighth of the paper's channels
  config.data.update(name="npz", validation=0.1)
  config.optim.warmup_epochs = 1.0
  config.train.update(epochs=20.0, watch="validation", evaluate_every=5.0)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.update(name="fake", arguments=dict(size=64, classes=10))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()

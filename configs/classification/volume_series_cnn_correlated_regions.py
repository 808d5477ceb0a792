"""A small 3-D network shared over time, on two groups of series of which no volume tells.

  python -m experiments.train \\
    --config=configs/classification/volume_series_cnn_correlated_regions.py

The last line of its log (docs/results.md has three seeds):

  epoch 6.01    step     169 test       loss 0.0324  accuracy 1.0000
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults(input="volume_series")
  config.model.name = "volume_series_cnn"
  config.model.arguments.update(
    trunk="r3d_18", trunk_arguments=dict(width=4, depths=(1,)), blocks=((16, 5), (16, 3))
  )
  config.data.update(name="correlated_regions", length=32, validation=0.1)
  config.optim.update(learning_rate=3e-3, warmup_epochs=1.0)
  config.train.update(epochs=6.0, watch="validation", evaluate_every=2.0, log_every=50)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.update(length=4, arguments=dict(examples=256))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()

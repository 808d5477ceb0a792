"""The same network on single volumes of the same two groups, which do not tell the group.

  python -m experiments.train --config=configs/classification/volume_series_cnn_single_volumes.py

It is the control of volume_series_cnn_correlated_regions.py, and sees as many volumes in as many
steps. The last line of its log (chance is 0.5, and docs/results.md has three seeds):

  epoch 6.01    step     169 test       loss 0.6978  accuracy 0.5010
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults(input="volume_series")
  config.model.name = "volume_series_cnn"
  config.model.arguments.update(
    trunk="r3d_18", trunk_arguments=dict(width=4, depths=(1,)), blocks=((16, 5), (16, 3))
  )
  config.data.update(name="correlated_regions", length=1, batch_size=1024, validation=0.1)
  config.data.arguments.update(examples=32_000, test_examples=1000)
  config.optim.update(learning_rate=3e-3, warmup_epochs=1.0)
  config.train.update(epochs=6.0, watch="validation", evaluate_every=2.0, log_every=50)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.batch_size = 32
    config.data.arguments.update(examples=256, test_examples=256)
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()

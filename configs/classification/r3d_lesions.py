"""A small R3D that tells whether a volume of the hippocampus has a planted lesion.

  python -m experiments.train --config=configs/classification/r3d_lesions.py \\
    --config.data.root=FOLDER

The last line of its log (docs/results.md has another contrast):

  epoch 40.04   step     468 test       loss 0.5296  accuracy 0.7115
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults(input="volume")
  config.model.name = "r3d_18"
  config.model.arguments.update(width=8, depths=(1, 1, 1))  # of 64 and (2, 2, 2, 2)
  config.data.update(
    name="lesions", batch_size=16, spacing=(1.5, 1.5, 1.5), validation=0.1,
    arguments=dict(contrast=2.0, radius=5.0, on_error="skip"),
  )  # fmt: skip
  config.optim.update(learning_rate=3e-3, warmup_epochs=2.0)
  config.augment.update(flip=True, flip_vertical=True, flip_depth=True)
  config.train.update(epochs=40.0, watch="validation", evaluate_every=5.0, log_every=10)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.update(name="solids", spacing=(), crop=(16, 16, 16))
    config.data.arguments = dict(label="class", size=18)
    config.train.update(epochs=2.0, evaluate_every=1.0)
  return config.lock()

"""LeNet-5 on scikit-learn's 1,797 handwritten digits.

  python -m experiments.train

The last line of its log (docs/results.md has five seeds):

  epoch 20.00   step     808 test       loss 0.1370  accuracy 0.9972
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(name="lenet5", num_classes=0, dtype="float32", arguments={})
  config.data = dict(
    name="fake" if quick else "digits",
    root="",
    arguments={},
    proposals={},
    batch_size=32,
    fraction=1.0,
    sampling="uniform",
    validation=0.1,
    folds=0,
    fold=0,
    resize=(32, 32),
    crop=(),
    channels=0,
    mean=(),
    std=(),
    classes=(),
  )
  config.augment = dict(shift=3, flip=False)
  config.task = dict(name="classification", label_smoothing=0.1, class_weights=())
  config.optim = dict(
    name="adam",
    arguments={},
    learning_rate=3e-3,
    schedule="cosine",
    warmup_epochs=1.0,
    warmup_start=0.0,
    milestones=(),
    decay=0.1,
    clip_norm=0.0,
    weight_decay=0.0,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 20.0,
    watch="validation",
    evaluate_every=1.0 if quick else 5.0,
    patience=0,
    log_every=200,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="accuracy", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()

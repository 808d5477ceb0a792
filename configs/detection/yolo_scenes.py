"""A small Fast YOLO on generated scenes: a Poisson number of handwritten digits, with boxes.

  python -m experiments.train --config=configs/detection/yolo_scenes.py

A cell has one object, so the cells are fine, 8 pixels wide, and few digits share one. On MNIST's
digits seed 0 found map50 0.7382, in 20 min on one core (docs/results.md).
"""

from ml_collections import ConfigDict

TABLE = (  # kernel size, channels and strides; the grid has cells of 8 pixels
  (3, 32, 2), "M",
  (3, 64, 1), "M",
  (3, 128, 1), (3, 256, 1), (3, 256, 1),
)  # fmt: skip


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="fast_yolo",
    num_classes=0,
    dtype="float32",
    arguments=dict(table=TABLE, norm=True, hidden=(), places=20),
  )
  config.data = dict(
    name="scenes",
    root="",
    arguments=dict(examples=40 if quick else 2500, classes=2 if quick else 10),
    proposals={},
    batch_size=8 if quick else 16,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(64, 64) if quick else (128, 128),
    crop=(),
    channels=3,
    mean=(),
    std=(),
    classes=(),
  )
  config.augment = dict(flip=False)
  config.task = dict(name="detection")
  config.optim = dict(
    name="adam",
    arguments={},
    learning_rate=2e-3,
    schedule="cosine",
    warmup_epochs=0.5,
    warmup_start=0.0,
    milestones=(),
    decay=0.1,
    clip_norm=10.0,
    weight_decay=0.0,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 30.0,
    watch="",
    evaluate_every=0.0,
    patience=0,
    log_every=5 if quick else 50,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()

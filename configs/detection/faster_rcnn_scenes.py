"""Faster R-CNN with a small trunk and pyramid on generated scenes of handwritten digits.

python -m experiments.train --config=configs/detection/faster_rcnn_scenes.py
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="faster_rcnn_fpn",
    num_classes=0,
    dtype="float32",
    arguments=dict(
      trunk="resnet20_cifar" if quick else "resnet18",
      trunk_arguments=dict(n=1) if quick else {},
      taken=(2, 4) if quick else (4, 8, 16, 32),
      pyramid=16 if quick else 64,
      sides=((8,), (16,), (32,)) if quick else ((16,), (32,), (64,), (96,), (128,)),
      hidden=32 if quick else 256,
      proposals=(50, 50) if quick else (300, 100),
      candidates=(100, 100) if quick else (500, 300),
      sampled=32 if quick else 128,
      count=16 if quick else 64,
      places=20,
    ),
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
    mean=(0.5,),
    std=(0.25,),
    classes=(),
  )
  config.augment = dict(flip=False)
  config.task = dict(name="detection")
  config.optim = dict(
    name="adam",
    arguments={},
    learning_rate=1e-3,
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

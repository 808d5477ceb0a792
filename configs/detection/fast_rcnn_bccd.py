"""Fast R-CNN (arXiv:1504.08083) with a small trunk on real blood cells (BCCD, a VOC folder).

  python -m experiments.train --config=configs/detection/fast_rcnn_bccd.py \\
    --config.data.root=FOLDER

Windows are found by selective search (pip install 'cnnjax[proposals]').
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="fast_rcnn",
    num_classes=0,
    dtype="float32",
    arguments=dict(
      trunk="resnet20_cifar" if quick else "resnet18",
      trunk_arguments=dict(n=1) if quick else {},
      taken=4 if quick else 8,
      hidden=32 if quick else 256,
      dropout=0.0,
      count=16 if quick else 64,
      background=0.0,
      places=100,
    ),
  )
  config.data = dict(
    name="scenes" if quick else "voc",
    root="",
    arguments=dict(examples=40, classes=2) if quick else {},
    proposals=dict(
      source="selective_search", most=50 if quick else 500, mode="single" if quick else "fast"
    ),
    batch_size=8 if quick else 4,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(64, 64) if quick else (240, 320),
    crop=(),
    channels=3,
    mean=(0.5,),
    std=(0.25,),
    classes=(),
  )
  config.augment = dict(flip=True, flip_vertical=True)
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
    epochs=1.0 if quick else 60.0,
    watch="",
    evaluate_every=0.0,
    patience=0,
    log_every=5 if quick else 25,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()

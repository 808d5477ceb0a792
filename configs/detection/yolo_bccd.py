"""A small Fast YOLO on blood cells: red and white ones and platelets.

  python -m experiments.train --config=configs/detection/yolo_bccd.py --config.data.root=FOLDER

FOLDER is the PASCAL VOC folder of BCCD, with its lists of 205, 87 and 72 images. Its network is
narrower than the paper's, with batch norm, a grid of 9x12 and a head without dense layers, so that
it trains on two cores: seed 0 found on the test images map50 0.7275 (docs/results.md).
"""

from ml_collections import ConfigDict

TABLE = (  # kernel size, channels and strides; the grid has cells of 16 pixels
  (3, 32, 2), "M",
  (3, 64, 1), "M",
  (3, 128, 1), "M",
  (3, 256, 1), (3, 256, 1),
)  # fmt: skip


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="fast_yolo",
    num_classes=0,
    dtype="float32",
    arguments=dict(table=TABLE, norm=True, hidden=(), places=50),
  )
  config.data = dict(
    name="scenes" if quick else "voc",
    root="",
    arguments=dict(examples=40, classes=2) if quick else {},
    proposals={},
    batch_size=8,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(48, 64) if quick else (144, 192),
    crop=(),
    channels=3,
    mean=(),
    std=(),
    classes=(),
  )
  config.augment = dict(flip=True, flip_vertical=True, scale=(0.8, 1.2), translate=0.1)
  config.task = dict(name="detection")
  config.optim = dict(
    name="adam",
    arguments={},
    learning_rate=2e-3,
    schedule="cosine",
    warmup_epochs=1.0,
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
    epochs=1.0 if quick else 100.0,
    watch="" if quick else "validation",
    evaluate_every=0.0 if quick else 20.0,
    patience=0,
    log_every=5 if quick else 25,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="" if quick else "map50", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()

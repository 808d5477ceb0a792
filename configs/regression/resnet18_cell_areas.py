"""How much of an image is nucleus, and how much the rest of a white blood cell, in percent.

The numbers come from masks (0 background, 128 cytoplasm, 255 nucleus) beside the images,
images/CLASS/*.png and masks/CLASS/*.png in one folder, where these lines write areas.csv:

  import csv, pathlib, numpy, PIL.Image
  with open("areas.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["path", "nucleus", "cytoplasm"])
    for path in sorted(pathlib.Path("images").rglob("*.png")):
      mask = numpy.asarray(PIL.Image.open("masks" / path.relative_to("images")))
      rows.writerow([path, *(100 * (mask == value).mean() for value in (255, 128))])

  python -m experiments.train --config=configs/regression/resnet18_cell_areas.py \\
    --config.data.root=areas.csv
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="lenet5" if quick else "resnet18", num_classes=0, dtype="float32", arguments={}
  )
  config.data = dict(
    name="fake" if quick else "csv",
    root="",
    arguments=dict(label="numbers" if quick else ("nucleus", "cytoplasm")),
    proposals={},
    batch_size=16,
    fraction=1.0,
    sampling="uniform",
    validation=0.1,
    folds=0,
    fold=0,
    resize=(32, 32) if quick else (64, 64),
    crop=(),
    channels=3,
    mean=(),
    std=(),
    classes=(),
  )
  config.augment = dict(flip=True, flip_vertical=True)  # which leave areas as they are
  config.task = dict(name="regression", mean=(), std=(), delta=0.0)
  config.optim = dict(
    name="adam",
    arguments={},
    learning_rate=1e-3,
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
    epochs=1.0 if quick else 30.0,
    watch="validation",
    evaluate_every=1.0 if quick else 5.0,
    patience=0,
    log_every=200,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="rmse", mode="min")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()

"""Which kinds of cells are in a blood smear: red and white ones, platelets, red ones crowded.

The labels come from the boxes of a PASCAL VOC folder, in which these lines write kinds.csv
(crowded: twelve red cells or more):

  import collections, csv, pathlib, xml.etree.ElementTree
  kinds = ["RBC", "WBC", "Platelets"]
  with open("kinds.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["path", *kinds, "crowded"])
    for path in sorted(pathlib.Path("Annotations").glob("*.xml")):
      boxes = xml.etree.ElementTree.parse(path).iter("object")
      count = collections.Counter(box.findtext("name") for box in boxes)
      there = [*(count[kind] > 0 for kind in kinds), count["RBC"] >= 12]
      rows.writerow([f"JPEGImages/{path.stem}.jpg", *map(int, there)])

  python -m experiments.train --config=configs/multilabel/resnet18_bccd.py \\
    --config.data.root=kinds.csv
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
    arguments=dict(label="flags" if quick else ("RBC", "WBC", "Platelets", "crowded")),
    proposals={},
    batch_size=16,
    fraction=1.0,
    sampling="uniform",
    validation=0.1,
    folds=0,
    fold=0,
    resize=(32, 32) if quick else (72, 96),
    crop=(),
    channels=3,
    mean=(),
    std=(),
    classes=(),
  )
  config.augment = dict(flip=True, flip_vertical=True)
  config.task = dict(name="multilabel", positive_weights=())
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
    epochs=1.0 if quick else 15.0,
    watch="validation",
    evaluate_every=1.0 if quick else 5.0,
    patience=0,
    log_every=200,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="macro_f1", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()

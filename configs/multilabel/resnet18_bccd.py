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

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("multilabel")
  config.model.name = "resnet18"
  config.data.update(
    name="csv", arguments=dict(label=("RBC", "WBC", "Platelets", "crowded")), batch_size=16,
    validation=0.1, resize=(72, 96), channels=3,
  )  # fmt: skip
  config.augment.update(flip=True, flip_vertical=True)
  config.optim.warmup_epochs = 1.0
  config.train.update(epochs=15.0, watch="validation", evaluate_every=5.0, log_every=200)
  config.checkpoint.best = "macro_f1"
  if mode == "quick":
    config.model.name = "lenet5"
    config.data.arguments = dict(label="flags")
    config.data.update(name="fake", resize=(32, 32))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()

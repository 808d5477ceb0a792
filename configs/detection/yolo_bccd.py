"""A small Fast YOLO on blood cells: red and white ones and platelets.

  python -m experiments.train --config=configs/detection/yolo_bccd.py --config.data.root=FOLDER

FOLDER is the PASCAL VOC folder of BCCD, with its lists of 205, 87 and 72 images. Its network is
narrower than the paper's, with batch norm, a grid of 9x12 and a head without dense layers, so that
it trains on two cores: seed 0 found on the test images map50 0.7275 (docs/results.md).
"""

from cnnjax.keys import defaults

TABLE = (  # kernel size, channels and strides; the grid has cells of 16 pixels
  (3, 32, 2), "M",
  (3, 64, 1), "M",
  (3, 128, 1), "M",
  (3, 256, 1), (3, 256, 1),
)  # fmt: skip


def get_config(mode="full"):
  config = defaults("detection")
  config.model.update(
    name="fast_yolo", arguments=dict(table=TABLE, norm=True, hidden=(), places=50)
  )
  config.data.update(name="voc", batch_size=8, resize=(144, 192), channels=3)
  config.augment.update(flip=True, flip_vertical=True, scale=(0.8, 1.2), translate=0.1)
  config.optim.update(learning_rate=2e-3, warmup_epochs=1.0, clip_norm=10.0)
  config.train.update(epochs=100.0, watch="validation", evaluate_every=20.0, log_every=25)
  config.checkpoint.best = "map50"
  if mode == "quick":
    config.data.update(name="scenes", arguments=dict(examples=40, classes=2), resize=(48, 64))
    config.train.update(epochs=1.0, watch="", evaluate_every=0.0, log_every=5)
    config.checkpoint.best = ""
  return config.lock()

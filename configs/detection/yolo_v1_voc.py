"""YOLO on PASCAL VOC as in its paper (Redmon et al., arXiv:1506.02640, section 2.2).

  python -m experiments.train --config=configs/detection/yolo_v1_voc.py --config.data.root=FOLDER

FOLDER is a VOC folder with lists of train (or trainval) and test. The paper trains on those of 2007
and 2012 together and finds a mAP of 63.4 % on the test images of 2007 (here map50_2007), 52.7 %
with --config.model.name=fast_yolo. Its first 20 convolutions come from ImageNet; to begin without
them, add --config.model.arguments.norm=True. The rate grows over an epoch from 0, not from a tenth.
The authors' program takes half of equation 3's gradient, at a rate of 0.01 and a decay of 0.0005:
here the rate is half of that and the decay twice. It mirrors images, too.
"""

from cnnjax.keys import defaults

SMALL = ((3, 8, 2), "M", (3, 16, 1), "M", (3, 32, 1))  # of the quick form


def get_config(mode="full"):
  config = defaults("detection")
  config.model.update(name="yolo_v1", arguments=dict(norm=False))
  config.data.update(
    name="voc", batch_size=64, resize=(448, 448), channels=3, mean=(0.0,), std=(1.0,)
  )
  config.augment.update(flip=True, scale=(0.8, 1.2), translate=0.2, brightness=0.5, saturation=0.5)
  config.optim.update(
    name="sgd", arguments=dict(momentum=0.9), learning_rate=5e-3, schedule="step",
    warmup_epochs=1.0, milestones=(75.0, 105.0), weight_decay=1e-3,
  )  # fmt: skip
  config.train.update(epochs=135.0, log_every=50)
  if mode == "quick":
    config.model.arguments = dict(norm=False, table=SMALL, hidden=(64,))
    config.data.update(
      name="scenes", arguments=dict(examples=40, classes=2), batch_size=8, resize=(48, 48)
    )
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()

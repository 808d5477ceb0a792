"""MedSAM: Segment Anything for medical images, with a box for each object.

Ma et al., "Segment anything in medical images", arXiv:2304.12306, methods: ViT-B, images of
1024x1024 pixels, whatever their shape was, scaled to 0 to 1, and one mask for a box. `TINY` encodes
images of 128 or 256 pixels by a small U-Net's way down.
"""

from cnnjax.models.segmentation.sam import VIT_B
from cnnjax.ops.preprocess import Preprocessing

SQUARE = Preprocessing(resize=(1024, 1024), interpolation="bicubic")
AT_128 = Preprocessing(resize=(128, 128))

MEDSAM = dict(**VIT_B, multimask=False, preprocessing=SQUARE)
TINY = dict(
  stride=8, taken=(4, 8, 16), features=128, hidden=512, multimask=False, preprocessing=AT_128
)

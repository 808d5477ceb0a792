"""MedSAM: Segment Anything for medical images, prompted by a box for each object.

Ma et al., "Segment anything in medical images", arXiv:2304.12306, methods: ViT-B at 1024x1024
pixels, whatever the image's shape was, scaled to 0 to 1, and one mask for a box. `TINY` has a trunk
of convolutions, for images of 128 or 256 pixels and processors without a GPU.
"""

from cnnjax.models.segmentation.sam import VIT_B
from cnnjax.ops.preprocess import Preprocessing

SQUARE = Preprocessing(resize=(1024, 1024), interpolation="bicubic")

MEDSAM = dict(**VIT_B, multimask=False, preprocessing=SQUARE)
TINY = dict(
  stride=8,
  taken=(4, 8, 16),
  multimask=False,
  preprocessing=Preprocessing(resize=(128, 128)),
)

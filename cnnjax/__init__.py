"""cnnjax: the JAX home of the convolutional network."""

from cnnjax.checkpoints.transfer import load_pretrained
from cnnjax.engine.allocator import keep_memory
from cnnjax.engine.compiler import jit
from cnnjax.engine.predict import predict
from cnnjax.engine.run import Run, restore
from cnnjax.errors import UserError
from cnnjax.models.fold import fold
from cnnjax.models.summary import summarize
from cnnjax.models.zoo import create_model, list_models
from cnnjax.ops.cpu.onednn import use_onednn

__version__ = "0.1.0"

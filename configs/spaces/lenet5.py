"""A search space for LeNet-5, and how one is written.

  python -m experiments.sweep --config=configs/classification/lenet5_digits.py \
    --space=configs/spaces/lenet5.py --trials=12

A space is a Python file with get_space(trial) -> {config key: value}. `trial` is optuna's: it draws
values by suggest_float, suggest_int and suggest_categorical, each under a name of its own, which
the tables and pictures show. Any code may stand between: one value may decide what others there
are. Sections of free keys (augment, data.arguments, model.arguments, optim.arguments) are given
whole. An exception gives up this trial only.
"""


def get_space(trial):
  optimiser = trial.suggest_categorical("optimiser", ["adam", "sgd"])
  rate = trial.suggest_float("rate", 3e-4, 3e-2, log=True)
  sgd = optimiser == "sgd"  # its steps want about ten times the rate
  return {
    "optim.name": optimiser,
    "optim.arguments": {"momentum": 0.9} if sgd else {},
    "optim.learning_rate": 10 * rate if sgd else rate,
    "optim.weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    "task.label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
  }

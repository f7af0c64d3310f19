"""A real data set from a CSV file: which of three irises is it?

    python examples/iris.py

scikit-learn brings Fisher's 150 flowers; they are written to a CSV file first, as your own
data would be. 30 of them are held back, and the network never learns from those.
"""

import csv
import random
import tempfile
from pathlib import Path

from sklearn.datasets import load_iris

import talweg as tw


def write_csv(path):
    iris = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in iris.feature_names]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "species"])
        for row, label in zip(iris.data.tolist(), iris.target, strict=True):
            writer.writerow([*row, iris.target_names[label]])


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "iris.csv"
    write_csv(path)
    data = tw.Dataset.from_csv(path, target="species")

training, validation = data.split(0.2, seed=0)
scaling = training.input_scaling()  # from the training part alone
training, validation = training.standardise(scaling), validation.standardise(scaling)

model = tw.MLP(4, [8, 3], output="linear", rng=random.Random(0), scale="fan_in")
history = tw.train(
    model,
    training,
    loss=tw.losses.cross_entropy,
    reduction="mean",
    optimizer=tw.Adam(lr=0.05),
    steps=200,
    batch_size=24,
    seed=0,
    validation=validation,
)
print(data)
print(model)
print(history)
for part, name in ((training, "it learnt from"), (validation, "it has not seen")):
    print(f"accuracy on {len(part)} flowers {name}: {tw.metrics.accuracy(model, part):.3f}")
print("rows: the true species, columns: what was predicted")
matrix = tw.metrics.confusion_matrix(model, validation, len(data.classes))
for name, row in zip(data.classes, matrix, strict=True):
    print(f"  {name:12}", *(f"{count:3d}" for count in row))

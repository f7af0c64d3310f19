"""Data sets: rows of numbers with a target each, from lists, arrays, CSV and Parquet files.

A `Dataset` holds plain Python lists of floats, checked once. From a file to training data whose
scaling does not depend on the validation part:

    data = Dataset.from_csv("houses.csv", target="price")
    training, validation = data.split(fraction=0.2, seed=0)
    inputs, targets = training.input_scaling(), training.target_scaling()
    training = training.standardise(inputs, targets)
    validation = validation.standardise(inputs, targets)

The modules, in the order in which data passes through them; start reading at `dataset`.

* `readers`: a CSV or Parquet file becomes `Columns` of cells; files of wrong form are refused.
* `columns`: `Columns`, whose cells become numbers or labels; cells of wrong form are refused.
* `target`: which columns are inputs, and whether the target is a number or a class.
* `checks`: lists and arrays become rows of finite floats.
* `dataset`: `Dataset`, which training reads.
* `splitting`: the rows of the training and of the validation part.
* `scaling`: `Scaling`, to standard units and back.
"""

from talweg.data.dataset import Dataset, lesson_data
from talweg.data.readers import read_inputs
from talweg.data.scaling import Scaling

__all__ = ["Dataset", "Scaling", "lesson_data", "read_inputs"]

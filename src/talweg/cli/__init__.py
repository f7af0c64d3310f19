"""The command line of talweg.

* `app`: `main`, the commands, and their exit codes.
* `train`, `predict`, `sweep`, `sharpness`, `lr_find`, `map`, `graph`, `explain`, `info`: one
  command a file. They import the modules below and not each other.
* `train_on_lesson`, `train_on_file`: the two kinds of training of `train`. `sweep_report`,
  `map_report`: the reports of `sweep` and `map`.
* `training_problem`, `tabular_training`, `lesson`, `defaults`: network, samples and settings.
* `options`, `option_values`, `output_files`: the options that commands share, and their values.
* `console`, `messages`, `run_outcome`, `exit_codes`: what is printed, and the exit code.
* `command`, `help_format`: a command as `app` knows it, and the layout of `--help`.

Start reading at `app`.
"""

from talweg.cli.app import main

__all__ = ["main"]

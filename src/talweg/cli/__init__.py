"""The command line: arguments in, words and pictures out.

* `app`: the commands, `main`, and what an error, Ctrl-C or a closed pipe becomes.
* `train`: the command's options; then `train_lesson` or `train_file` does what they say.
* `predict`, `sweep`, `graph`, `info`: one command each.
* `recipe`: from a data set to a trained model that can be saved; it prints nothing.
* `options`: reading lists of numbers, and refusing paths before the work begins.
* `console`: printing, for people and for programs. `help_text`: how `--help` looks.

Start reading at `app`.
"""

from talweg.cli.app import main

__all__ = ["main"]

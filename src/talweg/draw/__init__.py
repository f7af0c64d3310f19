"""Pictures: the computation graph of a Value, and figures of a training run.

* `graph`: a Value and everything that it was computed from, as SVG.
* `curves`: losses over steps; `save` for every figure.
* `predictions`: what a trained model says: against targets, over two inputs, confused.
* `stability`: the curvature of the loss over the steps, beside the limit of the learning rate.
* `style`: colours, lines and sizes; and what all of them share.

All of it takes plain numbers and lists, and knows no class of talweg.
"""

"""Pictures: the computation graph of a Value, and figures of a training run.

* `graph`: a Value and everything that it was computed from, as SVG.
* `curves`: losses over steps; `save` for every figure.
* `predictions`: what a trained model says: against targets, over two inputs, confused.
* `stability`: the curvature of the loss over the steps, beside the limit of the learning rate.
* `trainability`: which runs converged, over a plane of two settings.
* `zooming`: a zoom into such a map as an animation.
* `style`: colours, lines and sizes; and what all of them share.

All of it takes plain numbers, lists and arrays, and knows no class of talweg.
"""

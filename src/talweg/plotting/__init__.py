"""Figures. This package alone imports matplotlib, and only when something is drawn.

The functions take plain numbers, lists and arrays, and use no other class of talweg. Each draws
on the axes that it is given, or on a new figure, and returns the axes.

* `curves`: the loss over the steps, of one run or of several.
* `predictions`: predictions against targets, decision boundaries, confusion matrices.
* `range_test`: the loss over the growing learning rate of a range test.
* `sharpness`: the largest curvature of the loss over the steps, with the stability limit.
* `sweep`: the final loss over the learning rate of many runs.
* `trainability`: the runs that converge, over a plane of two settings.
* `zoom`: a zoom into such a map, as an animation.
* `graph`: the computation graph of a Value, as SVG.
* `figure`: new figures, and saving them.
* `style`: colours, dashes, markers, labels and text.
"""

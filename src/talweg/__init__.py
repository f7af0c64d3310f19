from talweg.value import Value
from talweg.gradients import gradients
from talweg import ops

from talweg.value import Value, gradients
from talweg import ops

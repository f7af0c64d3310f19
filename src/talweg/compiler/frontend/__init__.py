"""The frontend: a Python function and its arguments become a tape.

trace.py              run the function once, record its operations      -> Trace, with its Tape
traced_numbers.py     the floats, integers and truths of the function during the trace
traced_array.py       its NumPy arrays
recorder.py           the conditions on numbers under which a trace serves a call  -> Guard
compensated_sum.py    its sums of floats, since Python 3.12
symbolic_int.py       integers that are inputs of the trace
signature.py          the numbers of a call, and its cache key          -> CallSignature
marshalled_tree.py    the same for nested lists of floats, in a few microseconds
value_tree.py         the same for lists of Values
object_guard.py       what a model contains, or what a function reads from outside
inspection.py         the visit of such an object                   -> its Values, key and places
reachable.py          which globals and attributes the code of a function names
places.py             where such an object stores its items, and copies of them
check.py              the comparison of the items with the copies at each call
effects.py            what a function changes outside of itself
hidden_gradients.py   gradients, which a trace must not read
random_states.py      random numbers that a function draws
threads.py            threads that a traced function starts
cache_key.py          the smallest parts of keys
contents.py           arrays and buffers as bytes
key_difference.py     why two calls need two traces, as text
parameter_binding.py  which Values a traced program reads at a call
result_template.py    the pytree that a function returns, without its numbers
trace_guard.py        the comparison of a trace with the function, run as plain Python
pytree.py             containers of numbers: map, leaves, differences
"""

"""The frontend: a Python function and its arguments become a tape.

trace.py              run the function once, record its operations      -> Trace, with its Tape
symbolic_int.py       integers that a trace leaves open
signature.py          the numbers of a call, and its cache key          -> CallSignature
marshalled_tree.py    the same for nested lists of floats, in a few microseconds
object_guard.py       what a model holds, or what a function reads from outside
inspection.py         the visit of such an object                   -> its Values, key and places
reachable.py          which globals and attributes the code of a function names
places.py             where what was read is stored, and what it was
check.py              whether it is still the same
effects.py            what a function changes outside of itself
hidden_gradients.py   gradients, which a trace must not read
random_states.py      random numbers that it draws
threads.py            threads that a traced function starts
cache_key.py          the smallest parts of keys
contents.py           arrays and buffers as bytes
key_difference.py     why two calls need two traces, as text
parameter_binding.py  which Values a traced program reads at a call
result_template.py    the pytree that a function returns, without its numbers
trace_guard.py        whether the function still computes what was traced
pytree.py             containers of numbers: map, leaves, differences
"""

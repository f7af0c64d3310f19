"""Random programs with the results of all analyses, and their execution as a plain list.

Start reading at `random_analyses`; `execution` is the oracle's view of a loop program.
"""

from types import SimpleNamespace

from backend_cases import case_of
from random_programs import SMOOTH, WITH_KINKS, Author, TooLongError, computed

from talweg.compiler.ir.loop_program import Loop
from talweg.compiler.passes.addresses import assign_addresses
from talweg.compiler.passes.differentiation import differentiation_flow
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.iteration_map import iteration_map
from talweg.compiler.passes.parallelism import parallel_loops
from talweg.compiler.passes.reaching_definitions import reaching_definitions
from talweg.compiler.passes.saved_values import saved_values
from talweg.compiler.passes.storage import storage_classes


def analyses_of(program, wrt=("w",)):
    """The results of all analyses of a loop program."""
    found = SimpleNamespace(program=program, tape=program.tape)
    found.iterations = iteration_map(program)
    found.definitions = reaching_definitions(found.iterations)
    found.storage = storage_classes(found.iterations, found.definitions)
    found.flow = differentiation_flow(found.iterations, found.definitions, found.storage, wrt)
    found.saved = saved_values(found.iterations, found.definitions, found.storage, found.flow)
    found.parallel = parallel_loops(found.iterations, found.definitions, found.storage)
    return found


def with_addresses(found):
    """The same, with the addresses in arrays."""
    found.addresses = assign_addresses(found.iterations, found.storage, found.flow, found.saved)
    return found


def random_program(seed):
    """The loops of a random program, or None for one that is too long."""
    description, w, x = Author(seed, [SMOOTH, WITH_KINKS][seed % 2]).program()
    try:
        case = case_of(lambda w, x: computed(description, w, x), w, x)
    except TooLongError:
        return None
    return find_loops(case.tape)


def traced_program(f, w, x):
    """The loops of a program f(parameters, inputs) -> list of Values."""
    return find_loops(case_of(f, w, x).tape)


def execution(program):
    """Every operation in order, as (instruction, its iteration, the loops around it)."""
    done = []

    def run(nodes, point, around):
        for node in nodes:
            if isinstance(node, Loop):
                for i in range(node.count.at(point)):
                    run(node.body, (*point, i), (*around, node))
            else:
                done.append((node, point, around))

    run(program.nodes, (), ())
    return done


def operands_of(tape, n):
    """The operands of operation n of a tape, as (space, index)."""
    arity = tape.operations[tape.code[n]].arity
    spaces, indices = tape.space[n, :arity].tolist(), tape.index[n, :arity].tolist()
    return [(tape.spaces[s], k) for s, k in zip(spaces, indices, strict=True)]

"""Lowering of small scheduled programs: addresses, registers, loops, and the text of functions."""

import pytest

from talweg import ops
from talweg.compiler.codegen import entry_points, lower
from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.lower import Instance, LaneLayout, LinearIndex, LoweringContext, at
from talweg.compiler.codegen.program_arrays import padded
from talweg.compiler.codegen.types import PTR, Parameter
from talweg.compiler.ir.loop_program import Affine
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Gather,
    Literal,
    SaveForBackward,
    ScheduledProgram,
    VirtualRegister,
)
from talweg.errors import CompilerError

R0, R1 = VirtualRegister(0), VirtualRegister(1)


def element(array, base=0, *strides):
    return Element(array, Affine(base, strides))


def context(program=(), *, lanes=1, blocks=1, jam=False, per_lane=(), broadcast=()):
    """A context for a function whose parameters are the arrays w, x and a."""
    f = Module().function("f", [Parameter(name, PTR) for name in "wxa"])
    layout = LaneLayout(f.parameters, lanes, blocks, frozenset(broadcast), frozenset(per_lane))
    return LoweringContext(f, layout, jam, program)


def lines_of(c):
    return [line.strip() for line in str(c.function).split("\n")[2:-1]]


def text_of(statement, **options):
    c = context([statement], **options)
    c.statements([statement], c.instances)
    return "\n".join(lines_of(c))


# ---- linear indices -----------------------------------------------------------------------------


def test_arithmetic_of_linear_indices():
    i = LinearIndex(3, (("%i", 2), ("%j", -1)))
    assert i.times(4) == LinearIndex(12, (("%i", 8), ("%j", -4)))
    assert i.times(0) == LinearIndex(0)
    assert i.plus(LinearIndex(1, (("%j", 1), ("%k", 5)))) == LinearIndex(4, (("%i", 2), ("%k", 5)))


def test_an_affine_index_at_a_point():
    point = (LinearIndex(7), LinearIndex(0, (("%i", 1),)))
    assert at(Affine(1, (10, -2)), point) == LinearIndex(71, (("%i", -2),))
    assert at(Affine(5), ()) == LinearIndex(5)


def test_an_index_is_computed_as_one_sum():
    c = context()
    assert c.materialise(LinearIndex(6)) == 6
    assert c.materialise(LinearIndex(0, (("%i", 1),))) == "%i"
    c.materialise(LinearIndex(24, (("%i", -8), ("%j", 1))))
    assert lines_of(c) == ["%.1 = mul i64 %i, -8", "%.2 = add i64 %.1, %j", "%.3 = add i64 %.2, 24"]


# ---- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "block", "offset"),
    [
        ({}, 0, 8 * 5),
        ({"lanes": 4}, 0, 32 * 5),
        ({"lanes": 4, "blocks": 3}, 2, 32 * (5 * 3 + 2)),
        ({"lanes": 4, "blocks": 3, "broadcast": "a"}, 2, 8 * 5),
        ({"lanes": 4, "blocks": 3, "per_lane": "a"}, 2, 32 * 5),
    ],
)
def test_the_address_of_an_element(options, block, offset):
    c = context(**options)
    c.address(element("a", 5), Instance(block))
    assert lines_of(c) == [f"%.1 = getelementptr inbounds i8, ptr %a, i64 {offset}"]


def test_the_address_of_an_element_whose_index_falls():
    """One offset: the address at 8 * -i alone would lie before the array."""
    c = context()
    c.address(element("a", 9, -1), Instance(point=(LinearIndex(0, (("%i", 1),)),)))
    assert lines_of(c) == [
        "%.1 = mul i64 %i, -8",
        "%.2 = add i64 %.1, 72",
        "%.3 = getelementptr inbounds i8, ptr %a, i64 %.2",
    ]


def test_a_broadcast_array_is_read_once_and_spread():
    c = context(lanes=2, broadcast="w")
    c.read(element("w", 1), c.instances[0])
    assert [line.split(" = ")[1].split(" ")[0] for line in lines_of(c)] == [
        "getelementptr", "load", "insertelement", "shufflevector",
    ]  # fmt: skip


GATHER = Gather("w", Affine(1), Affine(0), 3)


def test_a_gather_reads_one_number_for_each_lane():
    c = context(lanes=2, broadcast="w")
    c.read(GATHER, c.instances[0])
    text = "\n".join(lines_of(c))
    assert text.count("fptosi") == text.count("load double, ptr") == 2
    assert text.count(", 24\n") == 2  # 8 * 3 bytes a row


def test_a_gather_from_accumulators_adds_to_each_lane_of_its_own():
    c = context(lanes=2, per_lane="w")
    addresses = c.gather_addresses(GATHER, c.instances[0])
    assert len(addresses) == 2
    assert [line.split(", ")[-1] for line in lines_of(c) if " add i64" in line] == ["16", "24"]


def test_a_gather_is_no_place_to_write_to():
    c = context()
    with pytest.raises(CompilerError, match=r"w\[.*\] cannot be written to, only added to"):
        c.write(GATHER, c.builder.constant(1.0), c.instances[0])


# ---- registers ----------------------------------------------------------------------------------


def test_each_block_has_registers_of_its_own():
    c = context(blocks=2)
    first, second = c.instances
    assert c.variable(R0, first) == c.variable(R0, first.inside(LinearIndex(3)))
    assert c.variable(R0, first) != c.variable(R0, second)
    assert c.variable(R0, first) != c.variable(VirtualRegister(0, derivative=True), first)


def test_jammed_iterations_share_registers_unless_these_belong_to_the_iteration():
    c = context()
    own = [c.instances[0].inside(LinearIndex(k), frozenset([0]), k) for k in range(3)]
    assert len({c.variable(R0, instance) for instance in own}) == 3
    assert len({c.variable(R1, instance) for instance in own}) == 1


def test_the_register_of_a_derivative_is_zero_at_the_start():
    c = context()
    c.variable(VirtualRegister(0, derivative=True), c.instances[0])
    assert lines_of(c) == [
        "%.1 = alloca double, align 8",
        "store double 0x0000000000000000, ptr %.1, align 8",
    ]


# ---- loops --------------------------------------------------------------------------------------


def loop(n, *body, parallel=False, cells=frozenset()):
    return ForLoop(Affine(n), body or (STEP,), parallel, cells)


STEP = Compute(ops.add, (element("x", 0, 1), Literal(1.0)), (element("a", 0, 1),))
NESTED_STEP = Compute(ops.add, (element("x", 0, 1, 0), R0), (R0,))


@pytest.fixture
def no_unrolling(monkeypatch):
    monkeypatch.setattr(lower, "_SMALL_PROGRAM", 0)
    monkeypatch.setattr(lower, "_SMALL_LOOP", 0)


def test_a_small_program_is_unrolled():
    text = text_of(loop(5))
    assert "phi" not in text
    assert text.count("fadd") == 5


def test_in_a_large_program_only_loops_of_few_operations_are_unrolled(monkeypatch):
    monkeypatch.setattr(lower, "_SMALL_PROGRAM", 10)
    assert "phi" not in text_of(loop(10))
    monkeypatch.setattr(lower, "_SMALL_PROGRAM", 9)
    assert "phi" not in text_of(loop(10))
    assert text_of(loop(17)).count("phi") == 1
    assert text_of(loop(9), blocks=2).count("phi") == 1  # 18 operations


@pytest.mark.usefixtures("no_unrolling")
def test_a_loop_runs_its_body_for_all_blocks():
    text = text_of(loop(5), blocks=3)
    assert text.count("phi") == 1
    assert text.count("fadd") == 3


@pytest.mark.usefixtures("no_unrolling")
@pytest.mark.parametrize(("n", "bodies"), [(8, 4), (11, 4 + 3), (3, 3), (1, 1)])
def test_a_parallel_loop_around_a_loop_is_unrolled_and_jammed(n, bodies):
    inner = ForLoop(Affine(6), (NESTED_STEP,))
    outer = loop(n, inner, parallel=True, cells=frozenset([0]))
    assert text_of(outer, jam=True).count("fadd") == bodies
    assert text_of(outer, jam=False).count("fadd") == 1


@pytest.mark.parametrize(
    ("blocks", "jam", "parallel", "width"),
    [(1, True, True, 4), (2, True, True, 4), (4, True, True, 2), (8, True, True, 1),
     (1, False, True, 1), (1, True, False, 1)],
)  # fmt: skip
def test_how_many_iterations_are_jammed(blocks, jam, parallel, width):
    outer = loop(100, loop(6, NESTED_STEP), parallel=parallel)
    assert context(jam=jam).jam_width(outer, blocks) == width
    assert context(jam=jam).jam_width(loop(100, parallel=parallel), blocks) == 1  # no loop inside


@pytest.mark.usefixtures("no_unrolling")
def test_a_loop_whose_trip_count_varies_runs_for_each_block():
    inner = ForLoop(Affine(1, (1,)), (NESTED_STEP,))
    text = text_of(loop(5, inner), blocks=2)
    assert text.count("phi") == 3
    assert text.count("add i64 %i.loop1, 1") == 2  # the trip count


def test_operations_are_counted_with_their_iterations():
    assert lower.operation_count([STEP, loop(5, STEP, loop(3)), STEP]) == 2 + 5 * (1 + 3)
    assert lower.operation_count([loop(2, ForLoop(Affine(1, (1,)), (STEP,)))]) > 10**9


# ---- statements ---------------------------------------------------------------------------------


def test_a_step_of_the_adjoint_takes_the_derivative_and_adds_to_the_operands():
    product = AccumulateAdjoint(
        ops.mul,
        VirtualRegister(0, derivative=True),
        (None, element("x", 2)),
        None,
        (element("a", 1), None),
    )
    assert text_of(product).split("\n") == [
        "%.1 = alloca double, align 8",
        "store double 0x0000000000000000, ptr %.1, align 8",
        "%.2 = load double, ptr %.1, align 8",
        "store double 0x0000000000000000, ptr %.1, align 8",
        "%.3 = getelementptr inbounds i8, ptr %x, i64 16",
        "%.4 = load double, ptr %.3, align 8",
        "%.5 = fmul contract double %.2, %.4",
        "%.6 = getelementptr inbounds i8, ptr %a, i64 8",
        "%.7 = load double, ptr %.6, align 8",
        "%.8 = fadd double %.7, %.5",
        "%.9 = getelementptr inbounds i8, ptr %a, i64 8",
        "store double %.8, ptr %.9, align 8",
    ]


def test_a_register_is_saved_for_backward():
    text = text_of(SaveForBackward(R0, element("a", 3)), lanes=2)
    assert [line.split(" = ")[-1] for line in text.split("\n")] == [
        "alloca <2 x double>, align 16",
        "load <2 x double>, ptr %.1, align 16",
        "getelementptr inbounds i8, ptr %a, i64 48",
        "store <2 x double> %.2, ptr %.3, align 16",
    ]


# ---- entry points -------------------------------------------------------------------------------


NAMES = [field.name for field in entry_points.ARGUMENTS.fields]


def program(sizes):
    return ScheduledProgram((), (), sizes, (Literal(2.5),), (None,), (), ("w",))


def test_the_text_of_the_function_value():
    text = entry_points.kernels(program({}), exact=True)
    value, body, *_ = text.split("\n\n")
    assert value.startswith("define void @value(ptr %table) {")
    assert value.count("load ptr") == len(NAMES)
    pointers = [f"ptr noalias nocapture %{name}" for name in NAMES]
    assert body == (
        f"define internal void @value.body({', '.join(pointers)}) {{\n"
        "entry:\n"
        "  store double 0x4004000000000000, ptr %out, align 8\n"
        "  ret void\n"
        "}"
    )


def test_small_arrays_are_on_the_stack_and_large_ones_in_memory():
    small, large = program({"r0": 4000, "dr0": 96}), program({"r0": 4000, "dr0": 97})
    assert entry_points.work_size(small) == 0
    assert entry_points.work_size(large) == 4000 + 104  # whole cache lines
    assert "alloca [4000 x double], align 64" in entry_points.kernels(small, exact=True)
    assert "alloca" not in entry_points.kernels(large, exact=True)


def test_arrays_of_derivatives_are_zero_at_the_start_of_the_backward_pass():
    text = entry_points.kernels(program({"r0": 10, "dr0": 7}), exact=True)
    assert text.count("call void @llvm.memset") == 1
    assert "i8 0, i64 56, i1 false)" in text


def test_a_size_is_padded_to_whole_cache_lines():
    assert [padded(n) for n in (0, 1, 8, 9)] == [0, 8, 8, 16]

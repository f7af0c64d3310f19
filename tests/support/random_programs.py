"""Random scalar programs, to compare the compiler with the eager engine.

A program is described by nested tuples, which `Author` draws, and `computed` interprets:
variables, a list that grows, nested loops, triangular loops, swaps, numbers that are read long
after they are written. The same seed gives the same program on every machine.

Start reading at `Machine`.
"""

import random

import talweg as tw

# ---- the interpreter of descriptions --------------------------------------------------------

NOISE = [random.Random(k).uniform(0.1, 0.9) for k in range(50)]
VARYING = [lambda i: 0.25 + 0.125 * i, lambda i: 1.0 / (i + 2), lambda i: NOISE[i % 50]]
SMOOTH = {
    1: ["tanh", "sin", "cos", "sigmoid", "softplus", "neg"],
    2: ["add", "sub", "mul", "blend", "ratio"],
}
WITH_KINKS = {1: [*SMOOTH[1], "relu", "abs"], 2: [*SMOOTH[2], "max", "min"]}
COMPOSED = {
    "blend": lambda a, b: 0.5 * a + 0.25 * b,
    "ratio": lambda a, b: a / (1.5 + b * b),
}
MOST = 1500
"""The most operations of a program; longer ones are not tried."""


class TooLongError(Exception):
    """A program takes more than `MOST` operations."""


class Machine:
    """The state of a running program: variables, the list, the operations that are left."""

    def __init__(self, w, x):
        self.w, self.x = w, x
        self.variables = [w[0], x[0], w[-1] * x[-1], x[len(x) // 2]]
        self.made = [w[0] + x[-1]]
        self.left = MOST

    def number(self, e, point):
        kind, *parts = e
        if kind == "v":
            return self.variables[parts[0] % 4]
        if kind in ("w", "x"):
            level, a, b = parts
            values = getattr(self, kind)
            return values[(a * variable(point, level) + b) % len(values)]
        if kind == "old":
            return self.made[parts[0] % len(self.made)]
        if kind == "last":
            return self.made[-1 - parts[0] % len(self.made)]
        if kind == "at":
            level, a, b = parts
            return self.made[(a * variable(point, level) + b) % len(self.made)]
        if kind == "c":
            return parts[0]
        if kind == "vary":
            return VARYING[parts[0]](variable(point, parts[1]))
        self.left -= 1
        if self.left < 0:
            raise TooLongError
        if kind == "if":
            a, b, then, other = (self.number(part, point) for part in parts)
            return tw.where(tw.ops.lt(a, b), then, other)
        name, *operands = parts
        function = COMPOSED.get(name) or tw.ops.lookup(name)
        return function(*[self.number(part, point) for part in operands])

    def run(self, statements, point=()):
        for kind, *parts in statements:
            if kind == "set":
                k, e = parts
                self.variables[k] = self.number(e, point)
            elif kind == "swap":
                j, k = parts
                v = self.variables
                v[j], v[k] = v[k], v[j]
            elif kind == "push":
                self.made.append(self.number(parts[0], point))
            elif kind == "sum":
                k, first = parts
                total = 0.0
                for number in self.made[first:]:
                    self.left -= 1
                    total = total + number
                self.variables[k] = 0.25 * total
            elif kind == "product":
                self.product(*parts)
            elif kind == "sometimes":
                if variable(point, 0) % 3 == 1:
                    self.run(parts[0], point)
            else:
                count, body = parts
                for i in range(trip_count(count, point)):
                    self.run(body, (*point, i))

    def product(self, n):
        """Square the matrix of the last n * n numbers of the list, which grows by the result."""
        last = [self.made[-1 - k % len(self.made)] for k in range(n * n)]
        matrix = [last[n * i : n * i + n] for i in range(n)]
        self.left -= n**3
        if self.left < 0:
            raise TooLongError
        for row in matrix:
            for column in zip(*matrix, strict=True):
                self.made.append(0.5 * sum(a * b for a, b in zip(row, column, strict=True)))

    def output(self, kind, k):
        """A variable, an element of the list, a parameter, an input, a constant, or all."""
        lists = {"variable": self.variables, "made": self.made, "w": self.w, "x": self.x}
        found = lists[kind][k % len(lists[kind])] if kind in lists else 0.5 + k
        if kind == "all":
            found = 0.0
            for number in [*self.made, *self.variables]:
                found = found + number * number
        return found if isinstance(found, tw.Value) else tw.Value(found)


def variable(point, level):
    """A loop variable, counted from the innermost loop."""
    return point[-1 - level % len(point)] if point else 0


def trip_count(count, point):
    kind, n = count
    if kind == "fixed":
        return n
    outer = variable(point, 0)
    return outer + n if kind == "growing" else max(0, 6 + n - outer)


def computed(description, w, x):
    """The outputs of a random program, for parameters and inputs of any kind."""
    statements, outputs = description
    machine = Machine(w, x)
    machine.run(statements)
    return [machine.output(*one) for one in outputs]


# ---- the generator of descriptions ----------------------------------------------------------


class Author:
    """Draws random descriptions.

    Args:
        seed: the seed of the generator.
        names: the operations to use, `SMOOTH` or `WITH_KINKS`.
        products: whether the program ends with a loop in which a matrix is squared.
    """

    def __init__(self, seed, names, products=False):
        self.rng = random.Random(seed)
        self.names = names
        self.products = products

    def element(self, kind):
        """A parameter or input whose index advances with a loop variable, or is constant."""
        step = self.rng.choice([0, 1, 1, 1, 2, -1, 3])
        return (kind, self.rng.choice([0, 0, 1, 2]), step, self.rng.randrange(6))

    def atom(self):
        rng = self.rng
        kind = rng.choice(["v"] * 6 + ["w", "x"] * 3 + ["old", "last", "at", "at", "c", "vary"])
        if kind in ("w", "x", "at"):
            return self.element(kind)
        if kind == "v":
            return ("v", rng.randrange(4))
        if kind == "c":
            return ("c", rng.choice([0.0, 0.5, -0.75, 1.0, 2.0]))
        if kind == "vary":
            return ("vary", rng.randrange(3), rng.randrange(3))
        return (kind, rng.randrange(4))

    def expression(self, size):
        rng = self.rng
        if size == 0:
            return self.atom()
        kind = rng.choice([1, 2, 2, 2, "if"] if rng.random() < 0.2 else [1, 2, 2])
        if kind == 1:
            return ("op", rng.choice(self.names[1]), self.expression(size - 1))
        left = rng.randrange(size)
        parts = self.expression(left), self.expression(size - 1 - left)
        if kind == 2:
            return ("op", rng.choice(self.names[2]), *parts)
        # A choice between given numbers, which no rounding changes, unless kinks are allowed.
        condition = self.atom() if self.names is WITH_KINKS else self.element("w")
        return ("if", self.element("x"), condition, *parts)

    def statement(self, depth):
        rng = self.rng
        if depth and rng.random() < 0.4:
            body = [self.statement(depth - 1) for _ in range(rng.choice([1, 2, 2, 3]))]
            if rng.random() < 0.08:
                return ("sometimes", body)
            return ("for", self.count(), body)
        kind = rng.choice(["set"] * 6 + ["push"] * 3 + ["swap", "sum"])
        if kind == "set":
            k, e = rng.randrange(4), self.expression(rng.randrange(1, 5))
            if rng.random() < 0.6:  # else the next iteration overwrites most of it
                e = ("op", rng.choice(["add", "blend", "blend", "mul", "sub"]), e, ("v", k))
            return ("set", k, ("op", "tanh", e) if rng.random() < 0.4 else e)
        if kind == "push":
            return ("push", self.expression(rng.randrange(1, 4)))
        return (kind, rng.randrange(4), rng.randrange(4))

    def count(self):
        rng = self.rng
        kind = rng.choice(["fixed"] * 4 + ["growing", "falling"])
        return (kind, rng.choice([3, 3, 4, 5, 6, 8, 12, 1, 2]) if kind == "fixed" else
                rng.randrange(4))  # fmt: skip

    def program(self):
        rng = self.rng
        body = [self.statement(2) for _ in range(rng.randrange(4))]
        inside = [self.statement(2) for _ in range(rng.choice([1, 2, 2, 3]))]
        body.insert(rng.randrange(len(body) + 1), ("for", ("fixed", rng.randrange(3, 12)), inside))
        if self.products:
            squared = ("product", rng.randrange(2, 5))
            body.append(("for", ("fixed", rng.randrange(2, 6)), [squared]))
        kinds = ["variable", "variable", "made", "w", "x", "constant"]
        more = [(rng.choice(kinds), rng.randrange(4)) for _ in range(rng.choice([0, 0, 1, 2]))]
        w = [rng.uniform(-1.0, 1.0) for _ in range(rng.randrange(1, 8))]
        x = [rng.uniform(-1.0, 1.0) for _ in range(rng.randrange(1, 10))]
        return (body, [("all", 0), *more]), w, x

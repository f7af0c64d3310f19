"""The runs of a sweep as a table: for polars, for a notebook, and for files.

`table` makes a polars DataFrame of the columns that a `SweepResult` holds; no run is made for
it. Other libraries take it over by the Arrow PyCapsule interface. There is no `__dataframe__`:
polars has dropped that older protocol, and pandas from 3.0 on asks for the capsule first.
"""

from __future__ import annotations

import html
from base64 import b64encode
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.errors import ArgumentError
from talweg.explore.verdicts import VERDICTS

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from talweg.explore.sweep.result import SweepResult

    Array: TypeAlias = np.ndarray[Any, Any]

_FEW_ROWS = 10
"""So many rows a notebook shows."""

_PLAIN = (int, float, str, bool, type(None))


def table(result: SweepResult) -> pl.DataFrame:
    """One row a run; `SweepResult.table` says which columns."""
    import numpy as np
    import polars as pl

    columns = {name: pl.Series(name, _plain(values)) for name, values in result.settings.items()}
    columns |= {
        "steps": pl.Series(result.lengths),
        "first_loss": pl.Series(result.first_losses),
        "final_loss": pl.Series(result.final_losses),
        "best_loss": pl.Series(result.best_losses),
        "verdict": pl.Series(VERDICTS, dtype=pl.String).gather(result.codes),
        "status": pl.Series(result.how_ended, dtype=pl.String),
    }
    limits = result.max_stable_lrs
    if not np.isnan(limits).all():
        known = pl.Series(limits, nan_to_null=True)
        columns |= {
            "max_stable_lr": known,
            "lr_over_limit": pl.Series(result.lr_over_limit, nan_to_null=True),
        }
    return pl.DataFrame(columns)


def _plain(values: Array) -> Any:
    """A column as polars can hold it: what is not a number or text becomes text."""
    if values.dtype != object:
        return values
    cells = values.tolist()
    kinds = {type(x) for x in cells} - {type(None)}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= set(_PLAIN)):
        return [float(x) if kinds == {int, float} and x is not None else x for x in cells]
    return [str(x) for x in cells]


def as_html(result: SweepResult) -> str:
    """The picture and the first rows, for a notebook."""
    parts = [f"<p>{html.escape(repr(result))}</p>"]
    if len(result):
        parts = [_picture(result), _rows(result)]
    parts.append(f"<p>{html.escape(result.summary)}</p>")
    return "".join(parts)


def _picture(result: SweepResult) -> str:
    """The picture of `SweepResult.plot`, or why there is none."""
    try:
        picture = b64encode(result.png()).decode()
    except ArgumentError as reason:
        return f"<p>{html.escape(str(reason))}</p>"
    return (
        f'<img alt="the losses of {len(result)} runs" style="max-width: 100%" '
        f'src="data:image/png;base64,{picture}">'
    )


def _rows(result: SweepResult) -> str:
    head = result.table.head(_FEW_ROWS)
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(x))}</td>" for x in row) + "</tr>"
        for row in head.iter_rows()
    )
    more = len(result) - len(head)
    rest = f"<p>and {more:,} more; result.table has all</p>" if more else ""
    return f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>{rest}"


def _cell(x: Any) -> str:
    if x is None:
        return ""
    return f"{x:.6g}" if isinstance(x, float) else str(x)

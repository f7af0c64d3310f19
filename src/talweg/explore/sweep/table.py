"""The runs of a sweep as a table: for polars, for a notebook, and for files.

`table` makes a polars DataFrame of the columns of a `SweepData`; no run is made for it. Other
libraries read it by the Arrow PyCapsule interface. There is no `__dataframe__`: polars has dropped
that older protocol, and pandas from 3.0 on asks for the capsule first.

Start reading at `table`.
"""

from __future__ import annotations

import html
from base64 import b64encode
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.errors import ArgumentError
from talweg.explore.sweep import conclusion, picture
from talweg.explore.sweep.data import SweepData
from talweg.explore.verdicts import VERDICTS

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    Array: TypeAlias = np.ndarray[Any, Any]

_FEW_ROWS = 10
"""How many rows a notebook shows."""

_PLAIN = (int, float, str, bool, type(None))


def table(data: SweepData) -> pl.DataFrame:
    """A DataFrame with one row a run; its columns are those of `SweepResult.table`."""
    import numpy as np
    import polars as pl

    columns = {name: pl.Series(name, _plain(values)) for name, values in data.settings.items()}
    columns |= {
        "steps": pl.Series(data.lengths),
        "first_loss": pl.Series(data.first_losses),
        "final_loss": pl.Series(data.final_losses),
        "best_loss": pl.Series(data.best_losses),
        "verdict": pl.Series(VERDICTS, dtype=pl.String).gather(data.codes),
        "status": pl.Series(data.how_ended, dtype=pl.String),
    }
    limits = data.max_stable_lrs
    if not np.isnan(limits).all():
        columns |= {
            "max_stable_lr": pl.Series(limits, nan_to_null=True),
            "lr_over_limit": pl.Series(data.lr_over_limit, nan_to_null=True),
        }
    return pl.DataFrame(columns)


def _plain(values: Array) -> Any:
    """A column as polars can hold it: what is not a number or text becomes text."""
    if values.dtype != object:
        return values
    entries = values.tolist()
    kinds = {type(x) for x in entries} - {type(None)}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= set(_PLAIN)):
        return [float(x) if kinds == {int, float} and x is not None else x for x in entries]
    return [str(x) for x in entries]


def as_html(data: SweepData) -> str:
    """The picture and the first rows, for a notebook."""
    parts = [f"<p>{html.escape(repr(data))}</p>"]
    if len(data):
        parts = [_picture(data), _rows(data)]
    parts.append(f"<p>{html.escape(conclusion.summary(data))}</p>")
    return "".join(parts)


def _picture(data: SweepData) -> str:
    """The picture of a sweep, or why there is none."""
    try:
        content = b64encode(picture.png(data)).decode()
    except ArgumentError as reason:
        return f"<p>{html.escape(str(reason))}</p>"
    return (
        f'<img alt="the losses of {len(data)} runs" style="max-width: 100%" '
        f'src="data:image/png;base64,{content}">'
    )


def _rows(data: SweepData) -> str:
    """The first rows of the table."""
    head = table(data).head(_FEW_ROWS)
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(x))}</td>" for x in row) + "</tr>"
        for row in head.iter_rows()
    )
    more = len(data) - len(head)
    rest = f"<p>and {more:,} more; result.table has all</p>" if more else ""
    return f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>{rest}"


def _cell(x: Any) -> str:
    if x is None:
        return ""
    return f"{x:.6g}" if isinstance(x, float) else str(x)

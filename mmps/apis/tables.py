"""Tables for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def data_frame(columns: Mapping[str, Sequence]) -> pandas.DataFrame:
    """A table with these columns.

    Raises:
        ImportError: pandas is not installed; the message says how to.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'mmps[gallery]'") from error
    return pandas.DataFrame(columns)

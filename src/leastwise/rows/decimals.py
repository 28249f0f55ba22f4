"""Decimal numbers to their last digit: as `high + low`, the nearest float64 and what it leaves out.

0.1 is no float64. Where columns nearly depend on one another, the 1e-17 that reading it costs can be
all that the answer hangs on; together the two parts hold a decimal to 2^-106 of its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.numerics import Array, two_product, two_sum

MOST_DIGITS = 38  # of a decimal of 128 bits
MOST_PLACES = 22  # 10^22 is the largest power of ten that a float64 holds exactly


def text_parts(texts: pa.Array) -> tuple[Array, Array]:
    """Numbers in text (n,) as high and low; NaN and 0 where a cell is null.

    Raises pyarrow.ArrowInvalid where a text is no number.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    high = np.array(arrow.values(pc.cast(trimmed, pa.float64())), np.float64)
    low = np.zeros(len(high))
    fits, places = _that_fit(trimmed)
    if fits.any():
        chosen = trimmed.filter(arrow.numbers(fits))
        low[fits] = beyond_decimal(pc.cast(chosen, pa.decimal128(MOST_DIGITS, places)), high[fits])
    for i in np.flatnonzero(~fits):  # with exponents, or of very many digits
        text, near = trimmed[int(i)].as_py(), float(high[i])
        if text is not None and isfinite(near) and near != 0:  # what vanishes in float64 is 0
            low[i] = float(Fraction(text) - Fraction(near))
    return high, low


def _that_fit(texts: pa.Array) -> tuple[NDArray[np.bool_], int]:
    """The cells (n,) that decimals of 128 bits hold at one scale, and that scale."""
    plain = np.nan_to_num(arrow.values(pc.match_substring_regex(texts, r"^[+-]?[0-9]*\.?[0-9]*$"))) != 0
    point = np.nan_to_num(arrow.values(pc.find_substring(texts, ".")), nan=-1.0)
    length = np.nan_to_num(arrow.values(pc.utf8_length(texts)))
    behind = np.where(point >= 0, length - point - 1, 0)
    before = np.where(point >= 0, point, length)
    fits = plain & (behind <= MOST_PLACES)
    places = int(behind[fits].max(initial=0))
    return fits & (before + places < MOST_DIGITS), places


def beyond_decimal(decimals: pa.Array, high: Array) -> Array:
    """What the nearest float64 `high` (n,) leaves out of 128-bit decimals; 0 where one is null."""
    words = np.frombuffer(decimals.buffers()[1], np.int64)[2 * decimals.offset :][: 2 * len(decimals)]
    upper, lower = words[1::2], words[::2].view(np.uint64)
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    quarters = upper >> 32, upper & 0xFFFFFFFF, lower >> half, lower & mask
    value, rest = np.zeros(len(upper)), np.zeros(len(upper))
    for quarter, exponent in zip(quarters, (96, 64, 32, 0), strict=True):
        value, error = two_sum(value, np.asarray(quarter, np.float64) * 2.0**exponent)
        rest = rest + error
    unit = 10.0**decimals.type.scale
    near, error = two_product(np.nan_to_num(high), np.float64(unit))
    low = ((value - near) + (rest - error)) / unit
    return np.where(np.isfinite(high), low, 0.0)


def beyond_integer(values: NDArray[Any]) -> Array | None:
    """What float64 leaves out of integers of 64 bits; None where it holds them all."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return None
    if values.min() >= -(1 << 53) and values.max() <= 1 << 53:
        return None
    high = np.asarray(values >> 32, np.float64) * 2.0**32
    return two_sum(high, np.asarray(values & 0xFFFFFFFF, np.float64))[1]


def low_of(column: pa.Array) -> Array | None:
    """What float64 leaves out of an Arrow column of numbers (n,): of long integers and decimals."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        return text_parts(pc.cast(column, pa.string()))[1]
    if column.type not in (pa.int64(), pa.uint64()):
        return None
    return beyond_integer(arrow.values(pc.drop_null(column))) if not column.null_count else _long(column)


def side_by_side(lows: Sequence[Array | None], n: int) -> Array | None:
    """Low parts of columns as one (n, p); None where none has any."""
    if all(low is None for low in lows):
        return None
    return np.column_stack([np.zeros(n) if low is None else low for low in lows])


def _long(column: pa.Array) -> Array | None:
    """Long integers of which some are missing."""
    low = beyond_integer(arrow.values(pc.drop_null(column)))
    if low is None:
        return None
    found = np.zeros(len(column))
    found[~arrow.nulls(column)] = low
    return found

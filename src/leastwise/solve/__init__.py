"""From moments to coefficients."""

from leastwise.solve.exact import least_squares, squared_error
from leastwise.solve.solution import Rank, Solution

__all__ = ["Rank", "Solution", "least_squares", "squared_error"]

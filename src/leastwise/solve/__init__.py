"""From moments to coefficients."""

from leastwise.solve.exact import least_squares, squared_error
from leastwise.solve.solution import ENOUGH, Rank, Solution, doubtful

__all__ = ["ENOUGH", "Rank", "Solution", "doubtful", "least_squares", "squared_error"]

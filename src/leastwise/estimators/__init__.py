"""scikit-learn's classes, answered from moments: check, rename, call; no maths.

Parameters, attributes and the meaning of `alpha` are scikit-learn's: change the import, and nothing else.
"""

from leastwise.estimators.descent import GradientDescentRegressor
from leastwise.estimators.lasso import ElasticNet, Lasso
from leastwise.estimators.lasso_cv import ElasticNetCV, LassoCV
from leastwise.estimators.plain import LinearRegression, Ridge
from leastwise.estimators.ridge_cv import RidgeCV

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
    "GradientDescentRegressor",
    "Lasso",
    "LassoCV",
    "LinearRegression",
    "Ridge",
    "RidgeCV",
]

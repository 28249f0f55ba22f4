"""scikit-learn's own tests, run against leastwise's classes of the same names."""

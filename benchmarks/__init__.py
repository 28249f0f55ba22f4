"""Every number that we claim: ours and a peer's side by side, in turn, in one run.

`python -m benchmarks` runs all of them, `python -m benchmarks NAME ...` some. Each prints one table,
with machine, date, commit and versions, and writes it to benchmarks/results/NAME.csv. Nothing is
asserted here: where we lose, the table says so.
"""

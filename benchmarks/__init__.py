"""*The hot paths and their plain versions → ratios measured side by side in one run.* `python -m benchmarks` runs all.

A module here offers `MEASURES`, names mapped to functions that return a `Row`, or `run()`, which returns a list of
dicts with `name`, `plain_s`, `ours_s` and `goal`; `benchmarks/__main__.py` finds both.
"""

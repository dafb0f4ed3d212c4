"""A group-by and a merge with pandas over a frame of 80 MiB. Knows nothing of hotswap:

hotswap run --limit 16M -- python examples/frame.py
"""

import sys

import numpy as np
import pandas as pd

rows = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
random = np.random.default_rng(7)
stations = pd.DataFrame({"station": np.arange(500), "town": [f"town {number % 97:02}" for number in range(500)]})
readings = pd.DataFrame({f"m{number:02}": random.standard_normal(rows) for number in range(24)})
readings["station"] = random.integers(0, 500, rows)
readings["day"] = random.integers(0, 365, rows)
print(f"{readings.memory_usage().sum() >> 20} MiB in {len(readings)} rows")
readings["most"] = readings[["m00", "m01", "m02"]].max(axis=1)
by_station = readings.groupby("station").mean()
by_day = readings.groupby("day")["most"].agg(["mean", "max"])
merged = readings.merge(stations, on="station", how="left")
by_town = merged.groupby("town")["m23"].sum()
print(f"stations {len(by_station)}, mean of means {by_station['m05'].mean():.12f}")
print(f"day {by_day['mean'].idxmax()}: {by_day['mean'].max():.12f}, most {by_day['max'].max():.12f}")
print(f"{merged.shape[1]} columns, {len(by_town)} towns, most in {by_town.idxmax()} ({by_town.max():.9f})")

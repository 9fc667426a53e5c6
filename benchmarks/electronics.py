"""Does a model fit: build it and take one step at the size of Amazon Electronics, each in a process of its own.

`python -m benchmarks.electronics MODEL... [--width 128] [--limit 8]`: 192,403 users, 63,001 items, 1,254,441 training
interactions, two drawn feature tables of `--width` columns. Prints peak memory after the data, after building and after
one training step, in GB, and exits with 1 if a model needs more than `--limit`. Linux only.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import sparse

from alignrec.models import MODELS, create_model
from alignrec.runtime import numpy_rng, set_threads, torch_rng
from alignrec.types import Batch, Interactions, TrainData

__all__ = ["N_INTERACTIONS", "N_ITEMS", "N_USERS", "interactions", "measure"]

N_USERS, N_ITEMS, N_INTERACTIONS = 192_403, 63_001, 1_254_441
_BATCH = 2048


def interactions(n_users: int = N_USERS, n_items: int = N_ITEMS, n_pairs: int = N_INTERACTIONS) -> Interactions:
    """About `n_pairs` drawn pairs (U, I), popular items more often; every user has one."""
    rng = numpy_rng(0, "electronics", "interactions")
    popularity = (np.arange(n_items) + 8.0) ** -0.75
    users = np.concatenate([np.arange(n_users), rng.integers(0, n_users, n_pairs - n_users)])
    items = rng.choice(n_items, size=n_pairs, p=popularity / popularity.sum())
    matrix = sparse.csr_matrix((np.ones(n_pairs, np.float32), (users, items)), shape=(n_users, n_items))
    matrix.data[:] = 1
    return matrix


def measure(name: str, pairs: Interactions, width: int) -> dict[str, float]:
    """Peak memory (GB) and CPU seconds of building `name` and of its first step, in this process."""
    set_threads(1)
    rng = numpy_rng(0, "electronics", "features")
    tables = {each: rng.standard_normal((pairs.shape[1], width), dtype=np.float32) for each in ("image", "text")}
    found = {"data": _peak()}
    began = time.process_time()
    model = create_model(name, TrainData(pairs, tables if MODELS[name].needs_features else {}), torch_rng(0, "model"))
    model.start_epoch(torch_rng(0, "epoch"))
    found |= {"build_seconds": time.process_time() - began, "built": _peak()}
    users, items = (torch.from_numpy(index[:_BATCH].astype(np.int64)) for index in pairs.nonzero())
    batch = Batch(users, items, torch.randint(pairs.shape[1], (len(users),), generator=torch_rng(0, "negatives")))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    began = time.process_time()
    torch.stack(list(model.losses(*model.represent_batch(batch)).values())).sum().backward()
    optimizer.step()
    return found | {"step_seconds": time.process_time() - began, "stepped": _peak()}


def _peak() -> float:
    """Largest resident memory of this process so far, GB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    if found is None:
        raise OSError("the system does not say how much memory a process has used")
    return int(found[1]) / 1e6


def main() -> int:
    """Parse, measure each model in a new process, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.electronics", description=__doc__)
    parser.add_argument("models", nargs="+", choices=list(MODELS), metavar="MODEL")
    parser.add_argument("--width", type=int, default=128, help="columns of each feature table")
    parser.add_argument("--limit", type=float, default=8.0, help="GB")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        sys.stdout.write(json.dumps(measure(options.models[0], interactions(), options.width)) + "\n")
        return 0
    columns = ("data", "built", "stepped", "build_seconds", "step_seconds")
    table, fits = Table("model", *columns, title=f"GB and CPU seconds, features of 2 x {options.width} columns"), True
    for name in track(options.models, console=Console(stderr=True)):
        command = [sys.executable, "-m", "benchmarks.electronics", name, "--width", str(options.width), "--here"]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        table.add_row(name, *(f"{found[column]:.2f}" for column in columns))
        fits &= found["stepped"] <= options.limit
    Console().print(table)
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())

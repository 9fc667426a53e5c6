"""Does memory grow with the catalogue: the encoder's path over drawn catalogues of several sizes.

`python -m benchmarks.catalogue_size 5000 500000 [--folder DIR]`: for each number of items, a drawn catalogue (texts of
20 words from a long-tailed vocabulary of 20,000, one of 256 pictures each) is imported, a tiny encoder pre-trained for
100 steps of 64 items on it, and every item extracted; each command in a process of its own. The encoder's words are
2,048 for every size: by default more texts give more words, and these a larger encoder. Prints peak memory in MB
and CPU seconds, those of the first catalogue first. Linux only. Half a million items take about 5 GB of disk.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from rich.console import Console
from rich.table import Table

from alignrec.runtime import numpy_rng

__all__ = ["draw_catalogue", "measured"]

_PICTURES = 256
_WORDS_A_TEXT = 20
_VOCABULARY = 20_000
_USERS_PER_ITEM = 2
_CHUNK = 10_000  # items drawn at once


def draw_catalogue(folder: Path, n_items: int) -> None:
    """Tables of `n_items` items, their pictures, and two interactions for each of them, written to `folder`."""
    rng = numpy_rng(0, "catalogue size")
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    for number in range(_PICTURES):
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC).save(pictures / f"{number}.png")
    words = np.array(["".join(chr(97 + each) for each in rng.integers(0, 26, 6)) for _ in range(_VOCABULARY)])
    shares = 1.0 / np.arange(2, _VOCABULARY + 2)
    with (folder / "items.jsonl").open("w", encoding="utf-8") as file:
        for start in range(0, n_items, _CHUNK):
            count = min(_CHUNK, n_items - start)
            texts = words[rng.choice(_VOCABULARY, size=(count, _WORDS_A_TEXT), p=shares / shares.sum())]
            for item, text in enumerate(texts, start):
                row = {"item_id": f"item{item}", "title": " ".join(text[:6]), "description": " ".join(text[6:])}
                file.write(json.dumps(row | {"image": f"{item % _PICTURES}.png"}) + "\n")
    items = np.repeat(np.arange(n_items), _USERS_PER_ITEM)
    users = rng.permutation(len(items)) // 10
    pl.DataFrame({"user_id": users, "item_id": [f"item{item}" for item in items]}).write_parquet(
        folder / "interactions.parquet"
    )


def measured(arguments: list[str]) -> tuple[float, float]:
    """Peak memory (MB) and CPU seconds of one command of `alignrec` in a process of its own."""
    result = subprocess.run([sys.executable, "-c", _MEASURE, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    memory, seconds = result.stdout.rpartition("measured ")[2].split()
    return float(memory) / 1024, float(seconds)


_MEASURE = """
import re, time
from pathlib import Path
from alignrec.cli import main
try:
    main()
except SystemExit as end:
    if end.code:
        raise
status = Path("/proc/self/status").read_text()
print("measured", re.search(r"VmHWM:\\s+(\\d+) kB", status)[1], time.process_time())
"""


def _row(folder: Path, n_items: int) -> list[tuple[float, float]]:
    source, dataset, encoder = (str(folder / f"{name}-{n_items}") for name in ("tables", "dataset", "encoder"))
    draw_catalogue(Path(source), n_items)
    small = ["--set", "training.steps=100", "--set", "training.batch_size=64"]
    small += ["--set", "catalogue.text_vocab=2048"]
    return [
        measured(["data", "import", "tables", source, "--out", dataset, "--core", "0"]),
        measured(["encode", "pretrain", dataset, "--out", encoder, *small]),
        measured(["encode", "extract", encoder, dataset, "--name", "ica"]),
    ]


def main() -> int:
    """Parse, measure each size, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue_size", description=__doc__)
    parser.add_argument("sizes", nargs="+", type=int, metavar="ITEMS")
    parser.add_argument("--folder", type=Path, help="where the catalogues go; default: a temporary folder")
    options = parser.parse_args()
    table = Table("items", "import", "encode pretrain", "encode extract", title="peak memory, MB (CPU seconds)")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for n_items in options.sizes:
            cells = (f"{memory:,.0f} ({seconds:,.0f})" for memory, seconds in _row(Path(folder), n_items))
            table.add_row(f"{n_items:,}", *cells)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

import subprocess
import sys

import pytest

import alignrec


@pytest.mark.parametrize("name", alignrec.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(alignrec, name) is not None
    assert name in dir(alignrec)


def test_an_unknown_name_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Recomender'; public names: AlignrecError, Dataset"):
        _ = alignrec.Recomender


def test_importing_the_package_imports_neither_torch_nor_polars() -> None:
    code = "import sys, alignrec; print([m for m in ('torch', 'polars', 'scipy', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

"""*Tensors → tensors: the fast operators everything else is built on.*"""

from alignrec.ops.edges import Edges, edge_dots, edge_softmax, edge_sum
from alignrec.ops.kmeans import fit_centres, nearest_centres
from alignrec.ops.matmul import matmul, project
from alignrec.ops.propagate import propagate
from alignrec.ops.spmm import SparseOperator, propagate_mean, propagate_mean_rows, spmm
from alignrec.ops.unit import SMALLEST_NORM, unit_rows, without_zero_rows

__all__ = [
    "SMALLEST_NORM",
    "Edges",
    "SparseOperator",
    "edge_dots",
    "edge_softmax",
    "edge_sum",
    "fit_centres",
    "matmul",
    "nearest_centres",
    "project",
    "propagate",
    "propagate_mean",
    "propagate_mean_rows",
    "spmm",
    "unit_rows",
    "without_zero_rows",
]

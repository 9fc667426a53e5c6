"""*Tensors → tensors: the fast operators everything else is built on.*"""

from alignrec.ops.edges import Edges, edge_dots, edge_softmax, edge_sum, listed_dots
from alignrec.ops.factored import FactoredGradient, project_table
from alignrec.ops.kmeans import fit_centres, nearest_centres
from alignrec.ops.matmul import PackedRows, add_matmul, has_bfloat16_tiles, matmul, outer_sum, project, right_side
from alignrec.ops.propagate import propagate
from alignrec.ops.spmm import SparseOperator, propagate_mean, propagate_mean_and_tail, propagate_mean_rows, spmm
from alignrec.ops.unit import SMALLEST_NORM, unit_rows, without_zero_rows

__all__ = [
    "SMALLEST_NORM",
    "Edges",
    "FactoredGradient",
    "PackedRows",
    "SparseOperator",
    "add_matmul",
    "edge_dots",
    "edge_softmax",
    "edge_sum",
    "fit_centres",
    "has_bfloat16_tiles",
    "listed_dots",
    "matmul",
    "nearest_centres",
    "outer_sum",
    "project",
    "project_table",
    "propagate",
    "propagate_mean",
    "propagate_mean_and_tail",
    "propagate_mean_rows",
    "right_side",
    "spmm",
    "unit_rows",
    "without_zero_rows",
]

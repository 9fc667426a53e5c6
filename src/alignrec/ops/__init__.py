"""*Tensors → tensors: the fast operators everything else is built on.*"""

from alignrec.ops.matmul import matmul
from alignrec.ops.spmm import SparseOperator, propagate_mean, propagate_mean_rows, spmm

__all__ = ["SparseOperator", "matmul", "propagate_mean", "propagate_mean_rows", "spmm"]

"""*A published table and datasets → ours, published, difference.*"""

from alignrec.studies.reproduction.reproduce import reproduce
from alignrec.studies.reproduction.request import ReproduceRequest
from alignrec.studies.reproduction.result import Reproduction

__all__ = ["ReproduceRequest", "Reproduction", "reproduce"]

"""*Feature tables + interactions → ProbeReport: are these vectors any good, before anything is trained on them?*"""

from alignrec.probes.best import Best, choose_best
from alignrec.probes.bootstrap import Interval
from alignrec.probes.compare import DEFAULT_PROTOCOLS, PROTOCOLS, probe
from alignrec.probes.item_cf import item_cf
from alignrec.probes.masked import MaskSettings, masked
from alignrec.probes.report import ProbeReport
from alignrec.probes.result import Difference, ProbeResult, paired_difference
from alignrec.probes.zero_shot import zero_shot

__all__ = [
    "DEFAULT_PROTOCOLS",
    "PROTOCOLS",
    "Best",
    "Difference",
    "Interval",
    "MaskSettings",
    "ProbeReport",
    "ProbeResult",
    "choose_best",
    "item_cf",
    "masked",
    "paired_difference",
    "probe",
    "zero_shot",
]

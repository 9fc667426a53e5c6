"""*Feature tables + interactions → ProbeReport: are these vectors any good, before anything is trained on them?*"""

from alignrec.probes.compare import PROTOCOLS, ProbeReport, probe
from alignrec.probes.item_cf import item_cf
from alignrec.probes.result import ProbeResult
from alignrec.probes.zero_shot import zero_shot

__all__ = ["PROTOCOLS", "ProbeReport", "ProbeResult", "item_cf", "probe", "zero_shot"]

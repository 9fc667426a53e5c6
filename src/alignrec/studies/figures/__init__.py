"""*Run folders → pictures for a paper, and the numbers behind them.*

For every kind of figure there is `read_…`, which gives its numbers, and `draw_…`, which gives a matplotlib figure of
them; `write_figure` puts both into a folder.
"""

from alignrec.studies.figures.directions import draw_directions, read_directions
from alignrec.studies.figures.figure_files import write_figure
from alignrec.studies.figures.forgetting import draw_forgetting, read_forgetting
from alignrec.studies.figures.long_tail import draw_long_tail, read_long_tail
from alignrec.studies.figures.recording import TRACES, record_again, trace_recorder
from alignrec.studies.figures.sensitivity import draw_sensitivity, read_sensitivity
from alignrec.studies.figures.training_curves import draw_training_curves, read_training_curves
from alignrec.studies.figures.vectors import VectorSample, draw_vectors, read_vectors

__all__ = [
    "TRACES",
    "VectorSample",
    "draw_directions",
    "draw_forgetting",
    "draw_long_tail",
    "draw_sensitivity",
    "draw_training_curves",
    "draw_vectors",
    "read_directions",
    "read_forgetting",
    "read_long_tail",
    "read_sensitivity",
    "read_training_curves",
    "read_vectors",
    "record_again",
    "trace_recorder",
    "write_figure",
]

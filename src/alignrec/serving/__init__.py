"""*A trained run → recommendations for people.*"""

from alignrec.serving.recommender import Recommender

__all__ = ["Recommender"]

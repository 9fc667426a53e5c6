"""*A study → one HTML file with its tables, figures, settings and example recommendations.*"""

from alignrec.studies.page.document import write_study_page

__all__ = ["write_study_page"]

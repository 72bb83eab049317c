"""Reports for people: one self-contained HTML file."""

from mama_augment.people.report.build import build_report

__all__ = ["build_report"]

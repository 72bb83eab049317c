"""Reports for people: one self-contained HTML file."""

from mama_augment.report.build import build_report

__all__ = ["build_report"]

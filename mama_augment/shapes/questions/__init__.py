"""A world that is asked about: H.264 videos, questions with answers, true boxes."""

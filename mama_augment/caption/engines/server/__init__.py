"""Captions by a server that speaks OpenAI's chat protocol: one HTTP exchange (`client`), how many
at once (`pace`), what to do about a refusal (`refusals`), what is said and answered (`chat`).
"""

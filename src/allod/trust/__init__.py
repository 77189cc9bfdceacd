"""Bytes and a time in; what can be relied on out, or a refusal. No clock, file, socket or log.

What has to be fetched or kept is asked for by generators (`effects`); the shell around them
answers. The steps of acceptance are numbered as in docs/explanation/acceptance.md, each above its code.
"""

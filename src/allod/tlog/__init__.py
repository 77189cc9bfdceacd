"""Transparency logs in the public formats: hashes, proofs, tiles, notes (C2SP, RFC 6962).

Bytes in, values or a refusal out: no clock, file, socket or randomness. What has to be fetched is
handed in as functions; times are whole seconds since 1970.
"""

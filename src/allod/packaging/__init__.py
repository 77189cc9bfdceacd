"""Making releases: from a directory, a unit file, a wheel or foreign software, to an OCI layout.

Local files in, local files out; no network, no keys of its own (signers are handed in).
"""

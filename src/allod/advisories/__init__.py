"""Reported vulnerabilities: records as the world publishes them, and what they say of a component.

Everything is pure but `store` (a database on the owner's machine) and `intake` (reading files).
"""

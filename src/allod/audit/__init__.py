"""What an auditor concludes from a fleet's logs and from what they name (docs/how-to/audit.md).

Values come in, findings go out: no clock, no file, no socket.
"""

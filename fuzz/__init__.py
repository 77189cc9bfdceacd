"""Fuzzing: whatever bytes come in, a parser answers with a value or with a named refusal."""

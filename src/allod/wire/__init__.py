"""The shapes of everything that is stored or sent: the only place that knows JSON.

Structs mirror the documents of docs/spec field by field (camelCase there, snake_case here);
`decode_*` check, cap and turn them into domain values, `encode_*` write them.
"""

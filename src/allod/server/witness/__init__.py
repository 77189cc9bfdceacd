"""A witness: cosigns checkpoints of logs that it knows, and never two histories of one.

C2SP tlog-witness and tlog-cosignature; `allod.tlog.witness` decides, this room keeps and answers.
"""

"""The server: collects, checks and hands out what owners, providers and devices signed.

It holds no authority. Signed files are the truth; the database is a projection of them that
`allod server rebuild` makes again.
"""

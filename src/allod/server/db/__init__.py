"""The database: a projection of the signed files, one adapter a technology."""

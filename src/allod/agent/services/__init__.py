"""Service managers by technology."""

"""One module a parser: `def target(data: bytes) -> None`, with seeds in `fuzz/corpus/<module>/`."""

"""Simulators, fakes and real helpers that tests, benches and the demo share."""

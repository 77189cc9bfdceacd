"""The sequencer of the fleet's logs: gives each entry its place, and never two.

What it promises rests on the order of its writes, which `sequencer` spells out; where they go is
a port (`ports.LogStorage`) with one adapter a technology.
"""

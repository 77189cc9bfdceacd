"""OCI distribution 1.1: releases are pulled and pushed with the tools that people have.

A repository is `<fleet>/<provider>/<name>`. Blobs live in the fleet's blob store; what a
repository holds (manifests, tags, who refers to what) is in a catalogue. For the registry the
version of an Allod release is a tag that never moves; who made a release is for devices to judge.
"""

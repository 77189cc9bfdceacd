"""What others attest of a release: in-toto statements, plainly signed or in Sigstore bundles.

Used where an owner or a server looks; a device has `trust.provenance` and needs nothing of this.
"""

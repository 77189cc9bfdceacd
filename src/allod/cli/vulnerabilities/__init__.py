"""`allod vulnerabilities`: what is known of what runs (docs/how-to/vulnerabilities.md)."""

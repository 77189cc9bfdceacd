"""The owner's command: one module a noun; talks to the HTTP API, holds local keys and floors."""
